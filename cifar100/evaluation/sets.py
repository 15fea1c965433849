"""Sets of classes that hold the truth as often as was asked for: split conformal prediction.

A set is the most probable classes, as many of them as it takes: regularised adaptive prediction sets (RAPS),
Angelopoulos, Bates, Malik and Jordan 2021, arXiv:2009.14193, section 2, after the adaptive ones of Romano, Sesia and
Candes 2020, arXiv:2006.02544. We differ: without their random numbers, so that a picture has one set, never an empty
one. A class's score is what the classes before it have together, without its own share, and the penalty of its place.
The promise is on average over all pictures like those that the thresholds come from, not for each class of them.

probabilities: (N, classes), each row sums to 1. A place is 1 for the most probable class; of equal classes the first.
"""

import math

import numpy as np

PENALTY, FREE = 0.01, 5  # for each place beyond the first five; set beforehand, not tuned
MOST = 99  # percent: a confidence beyond it would take all classes, or many more pictures


def set_scores(probabilities: np.ndarray, penalty: float = PENALTY, free: int = FREE) -> np.ndarray:
    """The score of each place, (N, classes) float64, rising along it: a set has those up to its threshold."""
    ranked = -np.sort(-np.asarray(probabilities, np.float64), axis=1)
    before = np.cumsum(np.pad(ranked, ((0, 0), (1, 0)))[:, :-1], axis=1)  # 0 for the first
    return before + penalty * np.maximum(0, np.arange(1, ranked.shape[1] + 1) - free)


def true_places(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The place of each picture's label, from 1: (N,)."""
    order = np.argsort(-np.asarray(probabilities), axis=1, kind="stable")
    return (order == labels[:, None]).argmax(1) + 1


def fit_thresholds(
    probabilities: np.ndarray, labels: np.ndarray, penalty: float = PENALTY, free: int = FREE
) -> list[float]:
    """The threshold for a confidence of 1 %, 2 %, ... MOST %: of n scores the ceil((n + 1) confidence)-th, rounded up
    to 6 digits; where there is none, one that all classes reach."""
    scores = set_scores(probabilities, penalty, free)
    own = np.sort(np.take_along_axis(scores, true_places(probabilities, labels)[:, None] - 1, 1)[:, 0])
    everything = 1 + penalty * probabilities.shape[1]
    numbers = [math.ceil((len(own) + 1) * percent / 100 - 1e-9) for percent in range(1, MOST + 1)]
    return [math.ceil(own[k - 1] * 1e6) / 1e6 if k <= len(own) else everything for k in numbers]


def set_sizes(probabilities: np.ndarray, threshold: float, penalty: float = PENALTY, free: int = FREE) -> np.ndarray:
    """How many of the most probable classes each picture's set has: (N,), 1 or more."""
    return (set_scores(probabilities, penalty, free) <= threshold).sum(1)
