"""Whether a picture looks like one of any class at all.

Two scores, since each misses kinds that the other tells; which, depends on the network (see the model cards). The
cosine between what the head sees and the nearest class's mean: class means as in Lee, Lee, Lee and Shin 2018,
arXiv:1807.03888, of features set to one length as in Sun, Ming, Zhu and Li 2022, arXiv:2204.06507. And the energy, log
sum exp of the logits (Liu, Wang, Owens and Li 2020, arXiv:2010.03759). A picture is judged by the worse of them: by the
smaller of the shares of known pictures that score less (Tippett's rule for joining tests, as in Haroush, Frostig,
Heller and Soudry 2022, arXiv:2102.12967).

features: (N, channels), what the head sees; logits: (N, classes); labels: (N,). All is computed in float64.
"""

import base64

import numpy as np
from scipy import special

from cifar100.evaluation.calibration import split_halves
from cifar100.runs.answering import LARGEST, Answering

PASSING = 0.95  # share of the pictures of known classes that are to be taken for such
STEPS = 127  # the largest number in a kept mean, which has one byte for each channel


def set_to_length_one(vectors: np.ndarray) -> np.ndarray:
    """A row of zeros stays one."""
    lengths = np.linalg.norm(np.asarray(vectors, np.float64), axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros(np.shape(vectors)), where=lengths > 0)


def class_means(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The mean of each class's features, each of length one: (classes, channels); 0 for a class without images."""
    members = np.equal.outer(np.arange(classes), labels).astype(np.float64)
    return members @ set_to_length_one(features)


def familiarity(features: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The cosine of each picture, (N,), from -1 to 1: the higher, the more it is like what the network knows."""
    return (set_to_length_one(features) @ set_to_length_one(means).T).max(1)


def energy(logits: np.ndarray) -> np.ndarray:
    """The negative energy of each picture, (N,): the higher, the more the network finds in it."""
    return special.logsumexp(np.asarray(logits, np.float64), axis=1)


def both_scores(logits: np.ndarray, features: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(2, N): cosine and energy of each picture."""
    return np.stack([familiarity(features, means), energy(logits)])


def is_familiar(logits: np.ndarray, features: np.ndarray, means: np.ndarray, fitted: Answering) -> np.ndarray:
    """Whether each picture may be of one of the classes, (N,) bool, and is not "none of these". means: those of
    `fitted`, unpacked."""
    cosines, energies = both_scores(logits, features, means)
    return (cosines >= fitted.familiar_from) & (energies >= fitted.energy_from)


def fit_familiarity(logits: np.ndarray, features: np.ndarray, labels: np.ndarray) -> tuple[str, np.ndarray]:
    """The class means, packed, and both scores of the images, (2, N). The cosines are to the means of the half that an
    image is not in, since it is nearer to means of its own."""
    classes = logits.shape[1]
    scores = np.empty((2, len(labels)))
    for own, other in split_halves(len(labels)):
        means = unpack(pack(class_means(features[other], labels[other], classes)), classes)
        scores[:, own] = both_scores(logits[own], features[own], means)
    return pack(class_means(features, labels, classes)), scores


def worse_share(scores: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Of each picture the smaller of the two shares of known images that score less, (N,), 0..1. scores: (2, N);
    known: (2, K)."""
    below = [np.searchsorted(np.sort(reference), own) for own, reference in zip(scores, known)]
    return np.minimum(*below) / max(1, known.shape[1])


def find_least(known: np.ndarray) -> np.ndarray:
    """(2,): from which cosine and which energy on a picture may be of a class. Both leave out the same share of the
    known images, and a share of PASSING of these reaches both. known: (2, K)."""
    if not known.shape[1]:
        return np.full(2, -LARGEST)  # nothing is refused
    share = np.quantile(worse_share(known, known), 1 - PASSING, method="lower")
    return np.sort(known, axis=1)[:, round(share * known.shape[1])]


def pack(means: np.ndarray) -> str:
    """Rounded to a byte for each number, as text. Only directions are kept."""
    largest = np.abs(means).max(1, keepdims=True)
    scaled = np.divide(STEPS * means, largest, out=np.zeros(means.shape), where=largest > 0)
    return base64.b64encode(np.rint(scaled).astype(np.int8).tobytes()).decode()


def unpack(text: str, classes: int) -> np.ndarray:
    """(classes, channels). Raises ValueError if the text is not of so many classes."""
    return np.frombuffer(base64.b64decode(text, validate=True), np.int8).reshape(classes, -1).astype(np.float64)
