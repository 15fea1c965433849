"""Sets of classes that contain the true class with a given confidence: split conformal prediction.

A set holds the most probable classes, as many as the confidence needs: regularised adaptive prediction sets (RAPS),
Angelopoulos, Bates, Malik and Jordan 2021, arXiv:2009.14193, section 2, based on Romano, Sesia and Candes 2020,
arXiv:2006.02544. Unlike RAPS we do not randomise, so each image has exactly one set, which is never empty. The score of
a class is the total probability of the classes ranked before it, plus the penalty of its rank. The confidence holds on
average over images like those of the fit, not for each class.

probabilities: (N, classes), each row sums to 1; labels: (N,). Rank 1 is the most probable class; of
equally probable classes the first.
"""

import math

import numpy as np

from cifar100.evaluation.calibration import fit_temperature, split_halves
from cifar100.evaluation.probabilities import softmax
from cifar100.runs.answering import MOST

PENALTY, FREE = 0.01, 5  # for each rank beyond the first five; not tuned
REPORTED = (0.8, 0.9, 0.95, 0.99)  # the confidences that `measure_sets` evaluates


def set_scores(probabilities: np.ndarray, penalty: float = PENALTY, free: int = FREE) -> np.ndarray:
    """The score of each rank, (N, classes) float64, rising with the rank: a set has the scores up to its threshold."""
    ranked = -np.sort(-np.asarray(probabilities, np.float64), axis=1)
    before = np.cumsum(np.pad(ranked, ((0, 0), (1, 0)))[:, :-1], axis=1)  # 0 for the first
    return before + penalty * np.maximum(0, np.arange(1, ranked.shape[1] + 1) - free)


def true_ranks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The rank of each image's label, from 1: (N,)."""
    order = np.argsort(-np.asarray(probabilities), axis=1, kind="stable")
    return (order == labels[:, None]).argmax(1) + 1


def fit_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    """The thresholds for a confidence of 1%, 2%, ... MOST%: of n scores the ceil((n + 1) * confidence)-th, rounded
    up to 6 digits; if n is too small, a threshold that admits all classes."""
    scores = set_scores(probabilities)
    own = np.sort(np.take_along_axis(scores, true_ranks(probabilities, labels)[:, None] - 1, 1)[:, 0])
    everything = 1 + PENALTY * probabilities.shape[1]
    numbers = [math.ceil((len(own) + 1) * percent / 100 - 1e-9) for percent in range(1, MOST + 1)]
    return [math.ceil(own[k - 1] * 1e6) / 1e6 if k <= len(own) else everything for k in numbers]


def set_sizes(probabilities: np.ndarray, threshold: float, penalty: float = PENALTY, free: int = FREE) -> np.ndarray:
    """The number of classes in each image's set: (N,), 1 or more."""
    return (set_scores(probabilities, penalty, free) <= threshold).sum(1)


def measure_sets(logits: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """By confidence: how often a set contains the label ("coverage", 0..1), its mean number of classes ("size") and how
    often it has only one ("single", 0..1). Each half of the images is measured with the temperature and the thresholds
    of the other half, so that no image affects its own result."""
    sizes = {confidence: np.zeros(len(labels), int) for confidence in REPORTED}
    ranks = np.zeros(len(labels), int)
    for own, other in split_halves(len(labels)):
        temperature = fit_temperature(logits[other], labels[other])
        thresholds = fit_thresholds(softmax(logits[other], temperature), labels[other])
        probabilities = softmax(logits[own], temperature)
        ranks[own] = true_ranks(probabilities, labels[own])
        for confidence in REPORTED:
            sizes[confidence][own] = set_sizes(probabilities, thresholds[round(100 * confidence) - 1])
    return {
        str(confidence): {
            "coverage": round(float((ranks <= size).mean()), 6),
            "size": round(float(size.mean()), 6),
            "single": round(float((size == 1).mean()), 6),
        }
        for confidence, size in sizes.items()
    }
