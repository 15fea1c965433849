"""The output of `evaluate`."""

from collections.abc import Iterator

from cifar100.evaluation import metrics
from cifar100.evaluation.logits import Evaluation


def describe(result: Evaluation) -> Iterator[str]:
    """Yield the lines of the output."""
    run, found = result.run, metrics.summarise_predictions(result.logits, result.data.fine)
    final, low, high = run.metrics["final"], *found["top1_interval"]
    yield f"{run.folder}: {len(result.data):,} {run.split} images, one view per image"
    yield f"top-1 accuracy {result.accuracy:.2%}, loss {result.loss:.4f}"
    yield f"metrics.json says {final[f'{run.split}_accuracy']:.2%}, loss {final[f'{run.split}_loss']:.4f}"
    yield f"95% interval of top-1: {low:.2%} to {high:.2%}; top-5 {found['top5']:.2%}"
    yield f"superclass accuracy {found['superclass']['accuracy']:.2%}"
    known = sorted((accuracy, name) for name, accuracy in found["per_class"].items() if accuracy is not None)
    yield "worst classes: " + ", ".join(f"{name} {accuracy:.0%}" for accuracy, name in known[:5])
    yield "most confused: " + ", ".join(f"{a} and {b} ({count})" for a, b, count in found["confused_pairs"][:5])
    error, after = found["calibration"]["ece"], found["calibration"]["after_temperature"]["ece"]
    temperature = found["temperature"]["value"]
    yield f"calibration error {error:.2%}, after a two-fold temperature of {temperature:.2f}: {after:.2%}"
    for confidence, own in found["sets"].items():
        held = f"contain the true class for {own['coverage']:.2%} of the images"
        yield f"sets for {float(confidence):.0%} {held}, with {own['size']:.2f} classes on average"
