"""An evaluation as text on the screen, and as figures."""

from collections.abc import Iterator
from pathlib import Path

from cifar100.errors import UserError
from cifar100.evaluation import calibration, metrics
from cifar100.evaluation.logits import Evaluation
from cifar100.evaluation.summary import pick_confused, reliability
from cifar100.figures import (
    plot_class_accuracy,
    plot_confused_pairs,
    plot_reliability,
    plot_superclass_confusion,
    save_figure,
)


def describe_summary(summary: dict) -> Iterator[str]:
    """The lines that `evaluate` prints of what `summarise_evaluation` or `metrics.summarise_predictions` gives."""
    low, high = summary["top1_interval"]
    yield f"95% interval of top-1: {low:.2%} to {high:.2%}; top-5 {summary['top5']:.2%}"
    yield f"right superclass {summary['superclass']['accuracy']:.2%}"
    ranked = sorted(summary["per_class"].items(), key=lambda item: (item[1] is None, item[1]))
    known = [(name, accuracy) for name, accuracy in ranked if accuracy is not None]
    yield "worst classes: " + ", ".join(f"{name} {accuracy:.0%}" for name, accuracy in known[:5])
    yield "best classes: " + ", ".join(f"{name} {accuracy:.0%}" for name, accuracy in known[:-6:-1])
    yield "most confused: " + ", ".join(f"{a} and {b} ({count})" for a, b, count in summary["confused_pairs"][:5])
    error, after = summary["calibration"]["ece"], summary["calibration"]["after_temperature"]["ece"]
    value = summary["temperature"]["value"]
    yield f"calibration error {error:.2%}, after a two-fold temperature of {value:.2f}: {after:.2%}"
    for confidence, own in summary["sets"].items():
        yield (
            f"sets for a confidence of {float(confidence):.0%} hold the true class of {own['coverage']:.2%} of the "
            f"images, with {own['size']:.2f} classes on average"
        )


def compare(results: list[Evaluation]) -> Iterator[str]:
    """A table of runs on the same images, with differences to the first; for two of them McNemar's test.

    Raises UserError if the runs were not evaluated on the same images.
    """
    first = results[0]
    if len({(result.run.split, result.run.sample) for result in results}) > 1:
        raise UserError("Only runs measured on the same images can be compared: the test set, or the same hold-out.")
    yield f"{'run':44}{'top-1':>9}{'difference':>12}{'loss':>9}{'superclass':>12}{'calibration error':>19}"
    for result in results:
        labels = result.data.fine
        superclass = metrics.superclass_accuracy(result.logits, labels)
        error = calibration.expected_calibration_error(result.logits, labels)
        difference = f"{100 * (result.accuracy - first.accuracy):+.2f}" if result is not first else ""
        yield (
            f"{result.run.folder.as_posix():44}{result.accuracy:9.2%}{difference:>12}{result.loss:9.4f}"
            f"{superclass:12.2%}{error:19.2%}"
        )
    if len(results) == 2:
        test = metrics.compare_predictions(first.logits, results[1].logits, first.data.fine)
        yield (
            f"Only the first is right {test.only_first} times, only the second {test.only_second} times: "
            f"p {'= ' + format(test.p_value, '.3g') if test.p_value else '< 1e-300'} (McNemar, exact)"
        )


def save_evaluation_figures(result: Evaluation) -> list[Path]:
    """Save the evaluation's figures in evaluation/seed<k>/ beside the run's folder. Returns their files."""
    logits, labels = result.logits, result.data.fine
    confusion = metrics.confusion_matrix(logits, labels)
    pairs = metrics.confused_pairs(confusion, 5)
    curves, errors = reliability(logits, labels)
    figures = {
        "superclass_confusion": plot_superclass_confusion(metrics.superclass_confusion(confusion)),
        "reliability": plot_reliability(curves, errors),
        "class_accuracy": plot_class_accuracy(
            metrics.accuracies_by_class(logits, labels), metrics.class_intervals(logits, labels)
        ),
    }
    if pairs:
        examples = pick_confused(logits, labels, result.data.images, pairs)
        figures["confused_pairs"] = plot_confused_pairs(confusion, examples)
    folder = result.run.folder.parent / "evaluation" / result.run.folder.name
    paths = {folder / f"{name}.png": figure for name, figure in figures.items()}
    for path, figure in paths.items():
        save_figure(figure, path)
    return list(paths)
