"""Metrics from logits: accuracies, confusions, and their confidence intervals.

logits: (N, classes) floats; labels: (N,) integers, the fine labels. Accuracies are 0..1. The prediction is the class
with the highest logit, the first one if several are equal.
"""

import numpy as np

from cifar100.dataset.cifar import COARSE_OF_FINE, FINE_NAMES
from cifar100.errors import UserError
from cifar100.evaluation import calibration
from cifar100.evaluation.calibration import mean_by_group
from cifar100.evaluation.probabilities import image_losses, negative_log_likelihood
from cifar100.evaluation.sets import measure_sets, true_ranks


def check_finite(logits: np.ndarray) -> None:
    """Raises UserError if a logit is infinite or NaN."""
    broken = len(logits) - np.isfinite(logits).all(1).sum()
    if broken:
        raise UserError(
            f"The logits of {broken} of {len(logits)} images are not finite: the network has diverged; evaluate "
            "another one, or train with a lower learning rate."
        )


def right_predictions(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each prediction is correct: (N,) bool."""
    return logits.argmax(1) == labels


def top_accuracy(scores: np.ndarray, labels: np.ndarray, count: int) -> float:
    """How often the true class is among the `count` highest scores, 0..1. scores: (N, classes). Of equal scores the
    first counts as the highest, as in argmax; otherwise constant scores would always be correct."""
    return float((true_ranks(scores, labels) <= count).mean())


def accuracies_by_class(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The accuracy of each class: (classes,), NaN for a class without images."""
    return mean_by_group(right_predictions(logits, labels), labels, logits.shape[1])


def class_intervals(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Wilson's 95% interval of each class's accuracy: (classes, 2), from 0 to 1 for a class without images."""
    right, classes = right_predictions(logits, labels), range(logits.shape[1])
    counts = [(int(right[labels == k].sum()), int((labels == k).sum())) for k in classes]
    return np.array([wilson_interval(*count) if count[1] else (0.0, 1.0) for count in counts])


def superclass_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """How often the superclass of the prediction is correct, 0..1."""
    return float((COARSE_OF_FINE[logits.argmax(1)] == COARSE_OF_FINE[labels]).mean())


def confusion_matrix(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts of (true class, predicted class): (classes, classes), a row per true class."""
    from sklearn.metrics import confusion_matrix as count_pairs

    return count_pairs(labels, logits.argmax(1), labels=range(logits.shape[1]))


def superclass_confusion(confusion: np.ndarray) -> np.ndarray:
    """The confusion matrix of the superclasses, (20, 20), from that of the classes, (100, 100)."""
    members = np.eye(20, dtype=np.int64)[COARSE_OF_FINE]  # (100, 20)
    return members.T @ confusion @ members


def confused_pairs(confusion: np.ndarray, count: int = 10) -> list[tuple[int, int, int]]:
    """The `count` most confused pairs, or fewer: (lower class, higher class, errors in both directions), most errors
    first."""
    first, second = np.triu_indices(len(confusion), 1)
    mistakes = (confusion + confusion.T)[first, second]
    order = np.argsort(-mistakes, kind="stable")[:count]
    return [(int(first[k]), int(second[k]), int(mistakes[k])) for k in order if mistakes[k]]


def order_by_confusion(shares: np.ndarray) -> np.ndarray:
    """An order of the classes in which confused ones are neighbours: the leaves of a hierarchical clustering in optimal
    order (Bar-Joseph et al. 2001). shares: (K, K), a row per true class."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    closeness = (shares + shares.T) / 2
    np.fill_diagonal(closeness, 0)
    distance = closeness.max() - closeness
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """The 95% confidence interval of a proportion (Wilson 1927), which is always within 0..1."""
    from scipy.stats import binomtest

    low, high = binomtest(int(successes), int(count)).proportion_ci(method="wilson")
    return float(low), float(high)


def summarise_predictions(logits: np.ndarray, labels: np.ndarray) -> dict:
    """All of these metrics, rounded for a JSON file. Raises UserError if logits are not finite."""
    check_finite(logits)
    right, related = right_predictions(logits, labels), superclass_accuracy(logits, labels)
    losses = image_losses(logits, labels)
    scaled = calibration.cross_fitted_temperature(logits, labels)
    return {
        "images": len(labels),
        "top1": round_for_json(right.mean()),
        "top1_interval": [round_for_json(end) for end in wilson_interval(right.sum(), len(right))],
        "top5": round_for_json(top_accuracy(logits, labels, 5)),
        "nll": round_for_json(losses.mean()),
        "per_class": dict(zip(FINE_NAMES, map(round_for_json, accuracies_by_class(logits, labels)))),
        "superclass": {
            "accuracy": round_for_json(related),
            "interval": [round_for_json(end) for end in wilson_interval(round(related * len(labels)), len(labels))],
        },
        "confused_pairs": [
            [FINE_NAMES[first], FINE_NAMES[second], count]
            for first, second, count in confused_pairs(confusion_matrix(logits, labels))
        ],
        "calibration": {
            "ece": round_for_json(calibration.expected_calibration_error(logits, labels)),
            "bins": calibration.BINS,
            "after_temperature": {
                "ece": round_for_json(calibration.expected_calibration_error(scaled, labels)),
                "nll": round_for_json(negative_log_likelihood(scaled, labels)),
            },
        },
        "temperature": {"value": round_for_json(calibration.fit_temperature(logits, labels))},
        "sets": measure_sets(logits, labels),
    }


def round_for_json(value: float) -> float | None:
    """A number for JSON: rounded to 6 digits, None for NaN."""
    return None if np.isnan(value) else round(float(value), 6)
