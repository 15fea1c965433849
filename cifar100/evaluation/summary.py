"""All that is measured of a finished run, beyond its accuracy: as text, figures and a part of metrics.json."""

import json
from collections.abc import Iterator

import numpy as np

from cifar100.dataset.cifar import COARSE_OF_FINE
from cifar100.errors import UserError
from cifar100.evaluation import calibration, metrics
from cifar100.evaluation.logits import RunEvaluation, compute_logits
from cifar100.evaluation.near_duplicates import load_pairs
from cifar100.figures import (
    plot_class_accuracy,
    plot_confused_pairs,
    plot_coverage,
    plot_reliability,
    plot_superclass_confusion,
    save_figure,
)
from cifar100.files import write_text
from cifar100.runs import run as runs


def assess(result: RunEvaluation) -> dict:
    """What metrics.json holds under "evaluation": the summary of the logits (see `metrics.summarise_predictions`),
    the accuracy over picture and mirror image ("flip_tta"), and that without near duplicates, on CIFAR-100's test
    images only (None elsewhere)."""
    labels = result.run.images.fine
    summary = metrics.summarise_predictions(result.logits, labels)
    summary["temperature"]["method"] = f"two-fold on the {result.run.split} set"
    mirrored = np.ascontiguousarray(result.run.images.images[:, :, ::-1])
    both = calibration.softmax(result.logits) + calibration.softmax(compute_logits(result.run.network, mirrored))
    losses = calibration.image_losses(result.logits, labels)
    summary["nll_interval"] = rounded(metrics.bootstrap_interval(losses))
    related = COARSE_OF_FINE[result.logits.argmax(1)] == COARSE_OF_FINE[labels]
    summary["superclass"]["interval"] = rounded(metrics.bootstrap_interval(related.astype(float)))
    return {
        **summary,
        "flip_tta": round(metrics.top_accuracy(both, labels, 1), 6),
        "without_duplicates": without_duplicates(result),
    }


def without_duplicates(result: RunEvaluation) -> dict | None:
    """Top-1 on the test images that have no near duplicate in the training set, and on those that have one."""
    if result.run.sample or result.run.split != "test":
        return None
    repeated = np.zeros(len(result.run.images), bool)
    repeated[[pair.test for pair in load_pairs()]] = True
    right = metrics.right_predictions(result.logits, result.run.images.fine)
    low, high = metrics.wilson_interval(int(right[~repeated].sum()), int((~repeated).sum()))
    return {
        "left_out": int(repeated.sum()),
        "top1": round(float(right[~repeated].mean()), 6),
        "top1_interval": rounded((low, high)),
        "top1_of_the_left_out": round(float(right[repeated].mean()), 6) if repeated.any() else None,
    }


def rounded(interval: tuple[float, float]) -> list[float]:
    return [round(float(value), 6) for value in interval]


def save_assessment(result: RunEvaluation, evaluation: dict) -> None:
    """Put the evaluation into the run's metrics.json, whose other entries stay as they are. Raises UserError if they are
    not those of the run that was evaluated."""
    content = runs.load_metrics(result.run.folder)
    if content["sha256"] != result.run.recorded["sha256"]:
        raise UserError(f"{result.run.folder} was trained anew in the meantime: evaluate it again.")
    content["evaluation"] = evaluation
    write_text(result.run.folder / "metrics.json", json.dumps(content, indent=2) + "\n")


def describe_summary(summary: dict) -> Iterator[str]:
    """The lines that `evaluate` prints of what `assess` or `metrics.summarise_predictions` gives."""
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


def compare(results: list[RunEvaluation]) -> Iterator[str]:
    """A table of runs on the same images, with differences to the first; for two of them McNemar's test.

    Raises UserError if the runs were not evaluated on the same images.
    """
    first = results[0]
    if len({(result.run.split, result.run.sample) for result in results}) > 1:
        raise UserError(
            "Only runs on the same images can be compared: all on the test set, or all on the same hold-out."
        )
    yield f"{'run':44}{'top-1':>9}{'difference':>12}{'loss':>9}{'superclass':>12}{'calibration error':>19}"
    for result in results:
        labels = result.run.images.fine
        superclass = metrics.superclass_accuracy(result.logits, labels)
        error = calibration.expected_calibration_error(result.logits, labels)
        difference = f"{100 * (result.accuracy - first.accuracy):+.2f}" if result is not first else ""
        yield (
            f"{result.run.folder.as_posix():44}{result.accuracy:9.2%}{difference:>12}{result.loss:9.4f}"
            f"{superclass:12.2%}{error:19.2%}"
        )
    if len(results) == 2:
        test = metrics.compare_predictions(first.logits, results[1].logits, first.run.images.fine)
        yield (
            f"Only the first is right {test.only_first} times, only the second {test.only_second} times: "
            f"p {'= ' + format(test.p_value, '.3g') if test.p_value else '< 1e-300'} (McNemar, exact)"
        )


def save_evaluation_figures(result: RunEvaluation) -> list:
    """Save the evaluation's figures beside the run's seed folder. Returns their files."""
    logits, labels, pictures = result.logits, result.run.images.fine, result.run.images.images
    confusion = metrics.confusion_matrix(logits, labels)
    pairs = metrics.confused_pairs(confusion)
    curves, errors = reliability(logits, labels)
    figures = {
        "superclass_confusion": plot_superclass_confusion(metrics.superclass_confusion(confusion)),
        "reliability": plot_reliability(curves, errors),
        "coverage": plot_coverage(*calibration.accuracy_by_coverage(logits, labels)),
        "class_accuracy": plot_class_accuracy(
            metrics.accuracies_by_class(logits, labels), metrics.class_intervals(logits, labels)
        ),
    }
    if pairs:
        figures["confused_pairs"] = plot_confused_pairs(pairs, pick_confused(logits, labels, pictures, pairs))
    folder = result.run.folder.parent / "evaluation"
    paths = {folder / f"{name}.png": figure for name, figure in figures.items()}
    for path, figure in paths.items():
        save_figure(figure, path)
    return list(paths)


def reliability(logits: np.ndarray, labels: np.ndarray) -> tuple[dict, dict]:
    """Reliability curves and calibration errors before and after a two-fold temperature, as `plot_reliability`
    takes them."""
    scaled, temperatures = calibration.cross_fitted_temperature(logits, labels)
    versions = {"as it is": logits, f"a temperature of {np.mean(temperatures):.2f}": scaled}
    return (
        {name: calibration.reliability_curve(version, labels) for name, version in versions.items()},
        {name: calibration.expected_calibration_error(version, labels) for name, version in versions.items()},
    )


def pick_confused(
    logits: np.ndarray, labels: np.ndarray, images: np.ndarray, pairs: list[tuple[int, int, int]], count: int = 8
) -> list[np.ndarray]:
    """For each pair of classes its mistaken pictures, the surest mistakes first: (count or fewer, 32, 32, 3) each."""
    guesses, sure = logits.argmax(1), calibration.softmax(logits).max(1)
    examples = []
    for first, second, _ in pairs:
        mistaken = ((labels == first) & (guesses == second)) | ((labels == second) & (guesses == first))
        places = np.flatnonzero(mistaken)
        examples.append(images[places[np.argsort(-sure[places], kind="stable")[:count]]])
    return examples
