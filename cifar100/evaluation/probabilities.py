"""The probabilities of the classes, and their negative log-likelihood.

logits: (N, classes) finite floats; labels: (N,) integers. Everything is computed in float64.
"""

import numpy as np
from scipy import special


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The probabilities of the classes: (N, classes) float64."""
    return special.softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def image_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The negative log-likelihood of each label, (N,), in nats; without `softmax`, which may round to 0."""
    likelihoods = special.log_softmax(np.asarray(logits, np.float64), axis=1)
    return -np.take_along_axis(likelihoods, labels[:, None], 1)[:, 0]


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean of `image_losses`: the cross-entropy without label smoothing, in nats."""
    return float(image_losses(logits, labels).mean())
