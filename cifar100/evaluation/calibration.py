"""Calibration and coverage: the confidence of a network compared with its accuracy.

logits: (N, classes) finite floats; labels: (N,) integers. Everything is computed in float64.
"""

from collections.abc import Iterator

import numpy as np

from cifar100.evaluation.probabilities import negative_log_likelihood, softmax

BINS = 15  # of equal width, as in Guo et al. 2017
TEMPERATURES = (0.05, 20.0)  # the range of the search


def mean_by_group(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """The mean value of each group, (count,); NaN for an empty group. values, groups: (N,), groups from 0."""
    sums, sizes = np.bincount(groups, values, count), np.bincount(groups, minlength=count)
    return np.divide(sums, sizes, out=np.full(count, np.nan), where=sizes > 0)


def reliability_curve(
    logits: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, accuracy and number of images in each bin of top-1 confidence, (bins,) each.

    Bin k holds confidences in (k / bins, (k + 1) / bins]. Confidence and accuracy of an empty bin are NaN.
    """
    confidence = softmax(logits).max(1)
    groups = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    accuracy = mean_by_group(logits.argmax(1) == labels, groups, bins)
    return mean_by_group(confidence, groups, bins), accuracy, np.bincount(groups, minlength=bins)


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """The difference between confidence and accuracy, 0..1: the mean over the bins, weighted by their images.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, section 2.
    """
    confidence, accuracy, count = reliability_curve(logits, labels)
    used = count > 0
    return float(np.average(np.abs(accuracy - confidence)[used], weights=count[used]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood, within TEMPERATURES; 1 without images.

    Guo et al. 2017, section 4.2. The search is on a logarithmic scale; there is one minimum, because the loss is convex
    in 1 / temperature. The temperature changes confidences but no predictions.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return 1.0

    def loss_at(power: float) -> float:
        return negative_log_likelihood(logits / np.exp(power), labels)

    return float(np.exp(minimize_scalar(loss_at, bounds=np.log(TEMPERATURES), method="bounded").x))


def split_halves(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the indices of each random half of `count` images and of the other half."""
    halves = np.array_split(np.random.default_rng(0).permutation(count), 2)
    yield from zip(halves, reversed(halves))


def cross_fitted_temperature(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logits of two random halves, each divided by the temperature fitted on the other half: (N, classes) float64.
    No image affects its own scaling, so that calibration can be measured on the same test set."""
    scaled = np.array(logits, np.float64)
    for own, other in split_halves(len(labels)):
        scaled[own] /= fit_temperature(logits[other], labels[other])
    return scaled


def accuracy_by_coverage(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fraction of the most confident images, rising from 1 / N to 1, and the accuracy on them: (N,) each. Images of
    equal confidence keep their order. Selective prediction: Geifman and El-Yaniv 2017, arXiv:1705.08500."""
    order = np.argsort(-softmax(logits).max(1), kind="stable")
    numbers = np.arange(1, len(labels) + 1)
    right = (logits.argmax(1) == labels)[order]
    return numbers / len(labels), right.cumsum() / numbers


def reliability(logits: np.ndarray, labels: np.ndarray) -> tuple[dict, dict]:
    """Reliability curves and calibration errors before and after temperature scaling, for `plot_reliability`."""
    scaled = cross_fitted_temperature(logits, labels)
    versions = {"without a temperature": logits, "with a temperature": scaled}
    return (
        {name: reliability_curve(version, labels) for name, version in versions.items()},
        {name: expected_calibration_error(version, labels) for name, version in versions.items()},
    )
