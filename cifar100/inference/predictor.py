"""Ask a trained network what a picture shows.

predictor = load_predictor("output/sprint")
predictor.predict("cat.jpg")  # [("tiger", 88, 0.41), ("leopard", 42, 0.22), ...]
predictor.answer("cat.jpg", confidence=0.9)  # these, and how many of the first hold the truth in 90 % of the cases
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from cifar100.device import choose_device
from cifar100.errors import UserError, brief
from cifar100.evaluation.familiarity import is_familiar, unpack
from cifar100.evaluation.logits import compute_both
from cifar100.evaluation.probabilities import softmax
from cifar100.evaluation.sets import MOST, set_sizes
from cifar100.files import check_regular
from cifar100.inference.pictures import Picture, stack_pictures
from cifar100.recipe import Recipe
from cifar100.runs.answering import KEY, Answering
from cifar100.runs.checks import is_plain, load_answering
from cifar100.runs.find import find_run
from cifar100.network import load_network, load_weights, make_network

PICKLED = (".pth", ".pt")  # what torch.save writes


class Prediction(NamedTuple):
    class_name: str
    class_id: int  # the fine label
    probability: float  # 0..1


class Answer(NamedTuple):
    """What a network says of one picture; but for the ranking None if `evaluate --write` has not evaluated it."""

    ranking: list[Prediction]  # all classes, the most probable first
    enough: int | None  # the first so many hold the truth with the confidence asked for
    familiar: bool | None  # whether it looks like a picture of any of the classes


class Predictor:
    """A network that answers for pictures, one view each. Threads may share it.

    answering: what `evaluate --write` has fitted; without it the probabilities are the plain softmax.
    """

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        device: torch.device,
        answering: Answering | None = None,
    ):
        self.network, self.classes, self.device = network.to(device).eval(), tuple(classes), device
        self.answering = answering
        self.means = self.unpack_means()

    def predict(self, image: Picture, top_k: int = 5) -> list[Prediction]:
        """The most probable classes, best first. Raises UserError if the picture cannot be opened, as
        `pictures.open_picture` has it, or if top_k is not from 1 to the number of classes."""
        return self.predict_batch([image], top_k)[0]

    def predict_batch(self, images: Sequence[Picture] | np.ndarray, top_k: int = 5) -> list[list[Prediction]]:
        """The same for each of a list of pictures, or of an array (N, H, W, 3)."""
        self.check_top(top_k)
        return self.rank(self.probabilities(images), top_k)

    def answer(self, image: Picture, confidence: float = 0.9) -> Answer:
        """All classes, how many of the first are enough, and whether the picture is of any of them. Raises UserError
        as `predict` does, and if the confidence is not from 0.01 to 0.99."""
        return self.answer_batch([image], confidence)[0]

    def answer_batch(self, images: Sequence[Picture] | np.ndarray, confidence: float = 0.9) -> list[Answer]:
        """The same for each of a list of pictures, or of an array (N, H, W, 3)."""
        percent = check_confidence(confidence)
        (logits, features), fitted = self.compute(images), self.answering
        shares = self.scale(logits)
        if fitted is None:
            enough = familiar = [None] * len(logits)
        else:
            threshold = fitted.set_thresholds[percent - 1]
            enough = set_sizes(shares, threshold, fitted.penalty, fitted.free).tolist()
            familiar = is_familiar(logits, features, self.means, fitted).tolist()
        return [Answer(*parts) for parts in zip(self.rank(shares, len(self.classes)), enough, familiar)]

    def probabilities(self, images: Sequence[Picture] | np.ndarray) -> np.ndarray:
        """(N, classes) float64, each row sums to 1: the softmax of the logits after the temperature. Raises UserError
        as `compute` does."""
        return self.scale(self.compute(images)[0])

    def compute(self, images: Sequence[Picture] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logits, (N, classes) float32, and what the head saw, (N, channels) float32, of 500 pictures at a time.
        What has 32x32 pixels is seen as it is, and as in evaluation. Raises UserError if the weights are so large that
        the network answers nothing."""
        pixels = stack_pictures(images)
        if not len(pixels):
            sizes = len(self.classes), self.network.head.in_features
            return tuple(np.empty((0, size), np.float32) for size in sizes)
        logits, features = compute_both(self.network, pixels)
        if not np.isfinite(logits).all():
            raise UserError("The network answers with no finite numbers: restore its weights, or train the run again.")
        return logits, features

    def check_top(self, top_k: int) -> None:
        """Raises UserError if it is no number of classes."""
        count = len(self.classes)
        if isinstance(top_k, bool) or not isinstance(top_k, (int, np.integer)) or not 1 <= top_k <= count:
            raise UserError(f"top_k must be a whole number from 1 to {count}, not {top_k!r}.")

    def unpack_means(self) -> np.ndarray | None:
        if self.answering is None:
            return None
        try:
            means = unpack(self.answering.class_means, len(self.classes))
        except ValueError:
            means = np.empty((0, 0))
        if means.shape != (len(self.classes), self.network.head.in_features):
            raise UserError(
                "What an evaluation has added to these weights is of another network: run `python -m cifar100 evaluate "
                "RUN --write` again."
            )
        return means

    def scale(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits, self.answering.temperature if self.answering else 1.0)

    def rank(self, probabilities: np.ndarray, top_k: int) -> list[list[Prediction]]:
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        shares = np.take_along_axis(probabilities, best, 1)
        return [
            [Prediction(self.classes[k], k, share) for k, share in zip(*row)]
            for row in zip(best.tolist(), shares.tolist())
        ]


def check_confidence(confidence: float) -> int:
    """In percent, rounded up. Raises UserError if there are no sets for it."""
    number = confidence if type(confidence) in (int, float) else math.nan
    if not 0.01 <= number <= MOST / 100:
        raise UserError(f"A confidence is a number from 0.01 to {MOST / 100}, such as 0.9: not {confidence!r}.")
    return math.ceil(100 * number - 1e-9)


def load_predictor(path: str | Path, device: str | torch.device | None = None) -> Predictor:
    """A predictor from a run's folder, a recipe's folder (its lowest seed), or a weights.safetensors, which brings its
    recipe and its class names along. Nothing in a file is ever run. device: None for the best there is.

    Raises UserError if there is no run, if a file is damaged, belongs to another network, or holds values that are not
    finite, and for the pickles of torch.save, which can hold anything and say nothing of their recipe.
    """
    path, chosen = Path(path), choose_device(device)
    if path.suffix in PICKLED:
        raise UserError(f"{path} is a pickle, which is not opened: name a run, or its weights.safetensors.")
    if path.suffix == ".safetensors":
        own, classes, answering = load_metadata(path)
        network = make_network(own)
        load_weights(path, network)
    else:
        folder = find_run(path)
        network = load_network(folder)
        _, classes, _ = load_metadata(folder / "weights.safetensors")
        answering = load_answering(folder)  # a cut off `evaluate --write` may have left the weights without it
    if len(classes) != network.head.out_features:
        raise UserError(f"{path} names {len(classes)} classes for {network.head.out_features} logits: restore it.")
    return Predictor(network, classes, chosen, answering)


def load_metadata(path: Path) -> tuple[Recipe, list[str], Answering | None]:
    """The recipe and the class names that `save_weights` has put into a file, and what an evaluation has added. Raises
    UserError if one of the former is missing."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            metadata = json.loads(file.metadata()["cifar100"])
        classes = metadata["classes"]
        if not all(map(is_plain, classes)):
            raise ValueError("a class name")
        answering = Answering.from_dict(metadata[KEY]) if KEY in metadata else None
        return Recipe.from_dict(metadata["recipe"]), list(classes), answering
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({brief(error)}): restore it, or name another.") from error
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path} does not name its recipe and classes: name weights that this project saved."
        ) from error
