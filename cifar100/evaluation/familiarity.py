"""Whether a picture looks like one of any class at all.

The score is the cosine between what the head sees of it and the nearest class's mean: class means as in Lee, Lee, Lee
and Shin 2018, arXiv:1807.03888, of features set to one length as in Sun, Ming, Zhu and Li 2022, arXiv:2204.06507. Their
covariances and stored training images would not fit beside the weights. The energy (Liu, Wang, Owens and Li 2020,
arXiv:2010.03759) and the largest logit (Hendrycks et al. 2022, arXiv:1911.11132) need nothing kept, but take noise for
a picture of a class; `evaluate` measures the energy beside ours.

features: (N, channels), what the head sees; labels: (N,). All is computed in float64.
"""

import base64

import numpy as np
from scipy import special

from cifar100.evaluation.calibration import split_halves

PASSING = 0.95  # share of the pictures of known classes that are to be taken for such
STEPS = 127  # the largest number in a kept mean, which has one byte for each channel
LEAST = -2.0  # below every cosine


def set_to_length_one(vectors: np.ndarray) -> np.ndarray:
    """A row of zeros stays one."""
    lengths = np.linalg.norm(np.asarray(vectors, np.float64), axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros(np.shape(vectors)), where=lengths > 0)


def class_means(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The mean of each class's features, each of length one: (classes, channels); 0 for a class without images."""
    members = np.equal.outer(np.arange(classes), labels).astype(np.float64)
    return members @ set_to_length_one(features)


def familiarity(features: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The score of each picture, (N,), from -1 to 1: the higher, the more it is like what the network knows."""
    return (set_to_length_one(features) @ set_to_length_one(means).T).max(1)


def energy(logits: np.ndarray) -> np.ndarray:
    """The negative energy of each picture, (N,), to compare with: log sum exp of the logits."""
    return special.logsumexp(np.asarray(logits, np.float64), axis=1)


def fit_familiarity(features: np.ndarray, labels: np.ndarray, classes: int) -> tuple[str, float]:
    """The class means, packed, and the score that a share of PASSING of the images reaches. The images are scored by
    the means of the half that they are not in, since they are nearer to means of their own."""
    scores = np.empty(len(labels))
    for own, other in split_halves(len(labels)):
        scores[own] = familiarity(
            features[own], unpack(pack(class_means(features[other], labels[other], classes)), classes)
        )
    threshold = np.quantile(scores, 1 - PASSING, method="lower") if len(scores) else LEAST
    return pack(class_means(features, labels, classes)), float(threshold)


def pack(means: np.ndarray) -> str:
    """Rounded to a byte for each number, as text. Only directions are kept."""
    largest = np.abs(means).max(1, keepdims=True)
    scaled = np.divide(STEPS * means, largest, out=np.zeros(means.shape), where=largest > 0)
    return base64.b64encode(np.rint(scaled).astype(np.int8).tobytes()).decode()


def unpack(text: str, classes: int) -> np.ndarray:
    """(classes, channels). Raises ValueError if the text is not of so many classes."""
    return np.frombuffer(base64.b64decode(text, validate=True), np.int8).reshape(classes, -1).astype(np.float64)
