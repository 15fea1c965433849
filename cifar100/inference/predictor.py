"""Classify images with a trained network.

predictor = load_predictor("output/sprint")
predictor.predict("cat.jpg")  # [("tiger", 88, 0.41), ("leopard", 42, 0.22), ...]
predictor.answer("cat.jpg", confidence=0.9)  # all classes, and the size of the set for 90%
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from cifar100.dataset.cifar import FINE_NAMES
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.evaluation.logits import compute_logits
from cifar100.evaluation.probabilities import softmax
from cifar100.evaluation.sets import set_sizes
from cifar100.inference.images import ImageInput, stack_images
from cifar100.network import load_network
from cifar100.runs.answering import MOST, Answering
from cifar100.runs.find import find_run
from cifar100.runs.run import load_answering

# An image is unknown if its set for 90% has this many classes. Photographs of a rocket, a cup, a motorcycle and a lion
# have one to four classes, a cat (not in CIFAR-100) nineteen; one in two hundred test images has fifteen. Sets for a
# higher confidence are large for all images and are not used for this.
UNKNOWN_FROM, UNKNOWN_PERCENT = 15, 90


class Prediction(NamedTuple):
    class_name: str
    class_id: int  # the fine label
    probability: float  # 0..1


class Answer(NamedTuple):
    """The answer of a network for one image."""

    ranking: list[Prediction]  # all classes, the most probable first
    set_size: int | None  # the set has the first classes of the ranking, so many; None if not evaluated
    doubt: str | None = None  # a sentence if the network does not know the image


class Predictor:
    """Classifies images with a network, one view each. Threads may share it.

    answering: from `evaluate --write`; without it the probabilities are the softmax without a temperature.
    """

    def __init__(self, network: nn.Module, answering: Answering | None = None):
        self.network, self.answering = network.eval(), answering

    def predict(self, image: ImageInput, top_k: int = 5) -> list[Prediction]:
        """The most probable classes, best first. Raises UserError as `open_image` does, or if top_k is not from 1
        to 100."""
        check_top(top_k)
        return self.answer(image).ranking[:top_k]

    def answer(self, image: ImageInput, confidence: float = 0.9) -> Answer:
        """All classes, and the size of the set for the confidence. Raises UserError as `predict` does, and if the
        confidence is not from 0.01 to 0.99."""
        return self.answer_batch([image], confidence)[0]

    def answer_batch(self, images: Sequence[ImageInput] | np.ndarray, confidence: float = 0.9) -> list[Answer]:
        """The same for each of a list of images, or of an array (N, H, W, 3)."""
        if not isinstance(confidence, (int, float)) or not 0.01 <= confidence <= MOST / 100:
            raise UserError(f"A confidence is a number from 0.01 to {MOST / 100}, such as 0.9: not {confidence!r}.")
        probabilities = self.probabilities(images)
        orders = np.argsort(-probabilities, axis=1, kind="stable").tolist()  # equal ones keep their order
        rankings = [
            [Prediction(FINE_NAMES[k], k, float(row[k])) for k in order] for order, row in zip(orders, probabilities)
        ]
        fitted = self.answering
        if fitted is None:
            return [Answer(ranking, None) for ranking in rankings]
        sizes, for_doubt = (
            set_sizes(probabilities, fitted.set_thresholds[percent - 1], fitted.penalty, fitted.free).tolist()
            for percent in (math.ceil(100 * confidence - 1e-9), UNKNOWN_PERCENT)
        )
        return [Answer(*parts) for parts in zip(rankings, sizes, map(describe_doubt, for_doubt))]

    def probabilities(self, images: Sequence[ImageInput] | np.ndarray) -> np.ndarray:
        """(N, 100) float64, each row sums to 1: the softmax of the logits divided by the temperature. Raises UserError
        if an image cannot be opened or a logit is not finite."""
        pixels = stack_images(images)
        if not len(pixels):
            return np.empty((0, len(FINE_NAMES)))
        logits = compute_logits(self.network, pixels)
        if not np.isfinite(logits).all():
            raise UserError("The network's logits are not finite: restore its weights, or train the run again.")
        return softmax(logits, self.answering.temperature if self.answering else 1.0)


def describe_doubt(classes: int) -> str | None:
    """classes: the size of an image's set for UNKNOWN_PERCENT."""
    if classes < UNKNOWN_FROM:
        return None
    return f"It needs {classes} classes to be {UNKNOWN_PERCENT}% sure: it does not know this."


def check_top(top_k: int) -> None:
    """Raises UserError if it is not a valid number of classes."""
    if type(top_k) is not int or not 1 <= top_k <= len(FINE_NAMES):
        raise UserError(f"The number of classes must be a whole number from 1 to {len(FINE_NAMES)}, not {top_k!r}.")


def load_predictor(path: str | Path, device: str | torch.device | None = None) -> Predictor:
    """A predictor from the folder of a run or of a recipe (its lowest seed). device: None for the fastest available.
    Raises UserError if there is no run or one of its files is damaged. No pickle is loaded, because it can run code."""
    folder, chosen = find_run(path), choose_device(device)
    return Predictor(load_network(folder).to(chosen), load_answering(folder))
