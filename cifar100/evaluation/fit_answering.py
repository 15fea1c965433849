"""Fits the numbers that turn logits into answers, and measures what the answers are worth.

What is measured is cross-fitted: each half of the images with the numbers that the other half gives, so that no image
has a say in how it is judged. What is kept is fitted on all of them. logits: (N, classes) finite floats; labels: (N,).
"""

import math

import numpy as np

from cifar100.evaluation.calibration import fit_temperature, split_halves
from cifar100.evaluation.familiarity import find_least, fit_familiarity
from cifar100.evaluation.probabilities import softmax
from cifar100.evaluation.sets import FREE, PENALTY, fit_thresholds, set_sizes, true_places
from cifar100.runs.answering import Answering

REPORTED = (0.8, 0.9, 0.95, 0.99)  # confidences of which a summary gives coverage and size


def fit_answering(logits: np.ndarray, features: np.ndarray, labels: np.ndarray) -> Answering:
    """Of images that the network was not trained on. features: (N, channels), what the head sees."""
    temperature = round(fit_temperature(logits, labels), 6)
    means, scores = fit_familiarity(logits, features, labels)
    familiar_from, energy_from = (math.floor(least * 1e6) / 1e6 for least in find_least(scores).tolist())
    return Answering(
        temperature=temperature,
        penalty=PENALTY,
        free=FREE,
        set_thresholds=tuple(fit_thresholds(softmax(logits, temperature), labels)),
        class_means=means,
        familiar_from=familiar_from,
        energy_from=energy_from,
    )


def measure_sets(logits: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """By confidence: how often a set holds the label ("coverage", 0..1), how many classes it has in the mean ("size")
    and how often it has one alone ("single", 0..1). Cross-fitted."""
    sizes = {confidence: np.zeros(len(labels), int) for confidence in REPORTED}
    places = np.zeros(len(labels), int)
    for own, other in split_halves(len(labels)):
        temperature = fit_temperature(logits[other], labels[other])
        thresholds = fit_thresholds(softmax(logits[other], temperature), labels[other])
        probabilities = softmax(logits[own], temperature)
        places[own] = true_places(probabilities, labels[own])
        for confidence in REPORTED:
            sizes[confidence][own] = set_sizes(probabilities, thresholds[round(100 * confidence) - 1])
    return {
        str(confidence): {
            "coverage": round(float((places <= own).mean()), 6),
            "size": round(float(own.mean()), 6),
            "single": round(float((own == 1).mean()), 6),
        }
        for confidence, own in sizes.items()
    }
