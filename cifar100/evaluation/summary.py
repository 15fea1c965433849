"""The "evaluation" in the metrics.json of a finished run: all that is measured after training."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cifar100.errors import UserError
from cifar100.evaluation import calibration, metrics
from cifar100.evaluation.logits import Evaluation, compute_logits
from cifar100.evaluation.metrics import round_for_json
from cifar100.evaluation.probabilities import softmax
from cifar100.evaluation.sets import FREE, PENALTY, fit_thresholds
from cifar100.files import write_text
from cifar100.runs.answering import Answering
from cifar100.runs.place import locked
from cifar100.runs.run import Run, load_metrics

NEAR_DUPLICATES = Path(__file__).with_name("near_duplicates.txt")  # its first lines name the source


def load_near_duplicates() -> np.ndarray:
    """The indices of the test images of CIFAR-100 that have a near duplicate in the training set, (891,), rising. They
    were found by people for ciFAIR-100: Barz and Denzler 2020, doi 10.3390/jimaging6060041."""
    return np.loadtxt(NEAR_DUPLICATES, dtype=np.int64)


def summarise_evaluation(result: Evaluation) -> dict:
    """`metrics.summarise_predictions` and "flip_tta", the accuracy with flip test-time augmentation;
    "without_duplicates", only for CIFAR-100's test split; "answering", see `fit_answering`."""
    logits, labels = result.logits, result.data.fine
    summary = metrics.summarise_predictions(logits, labels)
    mirrored = compute_logits(result.network, np.ascontiguousarray(result.data.images[:, :, ::-1]))
    return {
        **summary,
        "flip_tta": round_for_json(metrics.top_accuracy(softmax(logits) + softmax(mirrored), labels, 1)),
        "without_duplicates": without_duplicates(result),
        "answering": fit_answering(logits, labels).to_dict(),
    }


def without_duplicates(result: Evaluation) -> dict | None:
    """Top-1 on the test images without and with a near duplicate in the training set."""
    if result.run.sample or result.run.split != "test":
        return None
    repeated = np.isin(np.arange(len(result.data)), load_near_duplicates())
    right = metrics.right_predictions(result.logits, result.data.fine)
    interval = metrics.wilson_interval(right[~repeated].sum(), (~repeated).sum())
    return {
        "left_out": int(repeated.sum()),
        "top1": round_for_json(right[~repeated].mean()),
        "top1_interval": [round_for_json(end) for end in interval],
        "top1_of_the_left_out": round_for_json(right[repeated].mean()),
    }


def fit_answering(logits: np.ndarray, labels: np.ndarray) -> Answering:
    """Fit temperature and set thresholds on images that the network was not trained on. logits: (N, classes)."""
    temperature = round(calibration.fit_temperature(logits, labels), 6)
    thresholds = fit_thresholds(softmax(logits, temperature), labels)
    return Answering(temperature=temperature, penalty=PENALTY, free=FREE, set_thresholds=tuple(thresholds))


def save_evaluation(result: Evaluation, summary: dict) -> None:
    """Save a summary in the run's metrics.json and keep the other entries. Raises UserError if the run was replaced
    after the evaluation, or is being trained."""
    folder = result.run.folder
    with locked(folder):
        content = load_metrics(folder)
        if content["sha256"] != result.run.metrics["sha256"]:
            raise UserError(f"{folder} was trained again in the meantime: evaluate it again.")
        write_text(folder / "metrics.json", json.dumps(content | {"evaluation": summary}, indent=2) + "\n")


def describe_evaluation(run: Run, summary: dict) -> Iterator[str]:
    """Yield the lines that `evaluate` prints. summary: from `summarise_evaluation` or `summarise_predictions`."""
    final, low, high = run.metrics["final"], *summary["top1_interval"]
    yield f"{run.folder}: {summary['images']:,} {run.split} images, one view per image"
    yield f"top-1 accuracy {summary['top1']:.2%}, loss {summary['nll']:.4f}"
    yield f"metrics.json says {final[f'{run.split}_accuracy']:.2%}, loss {final[f'{run.split}_loss']:.4f}"
    yield f"95% interval of top-1: {low:.2%} to {high:.2%}; top-5 {summary['top5']:.2%}"
    yield f"superclass accuracy {summary['superclass']['accuracy']:.2%}"
    known = sorted((accuracy, name) for name, accuracy in summary["per_class"].items() if accuracy is not None)
    yield "worst classes: " + ", ".join(f"{name} {accuracy:.0%}" for accuracy, name in known[:5])
    yield "most confused: " + ", ".join(f"{a} and {b} ({count})" for a, b, count in summary["confused_pairs"][:5])
    error, after = summary["calibration"]["ece"], summary["calibration"]["after_temperature"]["ece"]
    yield f"calibration error {error:.2%}; with temperature scaling, 2-fold cross-validated: {after:.2%}"
    for confidence, own in summary["sets"].items():
        held = f"contain the true class for {own['coverage']:.2%} of the images"
        yield f"sets for {float(confidence):.0%} {held}, with {own['size']:.2f} classes on average"
