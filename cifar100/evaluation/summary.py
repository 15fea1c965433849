"""All that is measured of a finished run, beyond its accuracy: a part of metrics.json."""

import json

import numpy as np

from cifar100.dataset.cifar import COARSE_OF_FINE
from cifar100.errors import UserError
from cifar100.evaluation import calibration, metrics
from cifar100.evaluation.logits import Evaluation, compute_logits
from cifar100.evaluation.near_duplicates import load_pairs
from cifar100.files import write_text
from cifar100.runs.run import load_metrics


def summarise_evaluation(result: Evaluation) -> dict:
    """What metrics.json holds under "evaluation": the summary of the logits (see `metrics.summarise_predictions`),
    the accuracy over picture and mirror image ("flip_tta"), and that without near duplicates, on CIFAR-100's test
    images only (None elsewhere)."""
    labels = result.data.fine
    summary = metrics.summarise_predictions(result.logits, labels)
    summary["temperature"]["method"] = f"two-fold on the {result.run.split} set"
    mirrored = np.ascontiguousarray(result.data.images[:, :, ::-1])
    both = calibration.softmax(result.logits) + calibration.softmax(compute_logits(result.network, mirrored))
    losses = calibration.image_losses(result.logits, labels)
    summary["nll_interval"] = rounded(metrics.bootstrap_interval(losses))
    related = COARSE_OF_FINE[result.logits.argmax(1)] == COARSE_OF_FINE[labels]
    summary["superclass"]["interval"] = rounded(metrics.bootstrap_interval(related.astype(float)))
    return {
        **summary,
        "flip_tta": round(metrics.top_accuracy(both, labels, 1), 6),
        "without_duplicates": without_duplicates(result),
    }


def without_duplicates(result: Evaluation) -> dict | None:
    """Top-1 on the test images that have no near duplicate in the training set, and on those that have one."""
    if result.run.sample or result.run.split != "test":
        return None
    repeated = np.zeros(len(result.data), bool)
    repeated[[pair.test for pair in load_pairs()]] = True
    right = metrics.right_predictions(result.logits, result.data.fine)
    low, high = metrics.wilson_interval(int(right[~repeated].sum()), int((~repeated).sum()))
    return {
        "left_out": int(repeated.sum()),
        "top1": round(float(right[~repeated].mean()), 6),
        "top1_interval": rounded((low, high)),
        "top1_of_the_left_out": round(float(right[repeated].mean()), 6) if repeated.any() else None,
    }


def rounded(interval: tuple[float, float]) -> list[float]:
    return [round(float(value), 6) for value in interval]


def save_evaluation(result: Evaluation, summary: dict) -> None:
    """Put an evaluation's summary into the run's metrics.json, whose other entries stay as they are. Raises UserError
    if they are not those of the run that was evaluated."""
    content = load_metrics(result.run.folder)
    if content["sha256"] != result.run.metrics["sha256"]:
        raise UserError(f"{result.run.folder} was trained anew in the meantime: evaluate it again.")
    content["evaluation"] = summary
    write_text(result.run.folder / "metrics.json", json.dumps(content, indent=2) + "\n")


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
