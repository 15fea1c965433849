"""Ask a trained network what a picture shows.

predictor = load_predictor("output/sprint")
predictor.predict("cat.jpg")  # [("tiger", 88, 0.41), ("leopard", 42, 0.22), ...]
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from cifar100.device import choose_device
from cifar100.errors import UserError, brief
from cifar100.evaluation.logits import predict_logits
from cifar100.files import check_regular
from cifar100.inference.pictures import Picture, stack_pictures
from cifar100.recipe import Recipe
from cifar100.runs.checks import is_plain
from cifar100.runs.find import find_run
from cifar100.runs.weights import load_network, load_weights, make_network

PICKLED = (".pth", ".pt")  # what torch.save writes


class Prediction(NamedTuple):
    class_name: str
    class_id: int  # the fine label
    probability: float  # 0..1


class Predictor:
    """A network that answers for pictures, one view each. Threads may share it."""

    def __init__(self, network: nn.Module, classes: Sequence[str], device: torch.device):
        self.network, self.classes, self.device = network.to(device).eval(), tuple(classes), device

    def predict(self, image: Picture, top_k: int = 5) -> list[Prediction]:
        """The most probable classes, best first. Raises UserError if the picture cannot be opened, as
        `pictures.open_picture` has it, or if top_k is not from 1 to the number of classes."""
        return self.predict_batch([image], top_k)[0]

    def predict_batch(self, images: Sequence[Picture] | np.ndarray, top_k: int = 5) -> list[list[Prediction]]:
        """The same for each of a list of pictures, or of an array (N, H, W, 3)."""
        count = len(self.classes)
        if isinstance(top_k, bool) or not isinstance(top_k, (int, np.integer)) or not 1 <= top_k <= count:
            raise UserError(f"top_k must be a whole number from 1 to {count}, not {top_k!r}.")
        probabilities = self.probabilities(images)
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        shares = np.take_along_axis(probabilities, best, 1)
        return [
            [Prediction(self.classes[k], k, share) for k, share in zip(*row)]
            for row in zip(best.tolist(), shares.tolist())
        ]

    def probabilities(self, images: Sequence[Picture] | np.ndarray) -> np.ndarray:
        """The softmax of the logits, (N, classes) float32, of 500 pictures at a time. What has 32x32 pixels is seen
        as it is, and as in evaluation. Raises UserError if the weights are so large that the network answers
        nothing."""
        pixels = stack_pictures(images)
        if not len(pixels):
            return np.empty((0, len(self.classes)), np.float32)
        shares = predict_logits(self.network, torch.tensor(pixels, device=self.device)).softmax(1).cpu().numpy()
        if not np.isfinite(shares).all():
            raise UserError("The network answers with no finite numbers: restore its weights, or train the run again.")
        return shares


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
        own, classes = load_metadata(path)
        network = make_network(own)
        load_weights(path, network)
    else:
        folder = find_run(path)
        network = load_network(folder)
        _, classes = load_metadata(folder / "weights.safetensors")
    if len(classes) != network.head.out_features:
        raise UserError(f"{path} names {len(classes)} classes for {network.head.out_features} logits: restore it.")
    return Predictor(network, classes, chosen)


def load_metadata(path: Path) -> tuple[Recipe, list[str]]:
    """The recipe and the class names that `save_weights` has put into a file. Raises UserError if they are missing."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            metadata = json.loads(file.metadata()["cifar100"])
        classes = metadata["classes"]
        if not all(map(is_plain, classes)):
            raise ValueError("a class name")
        return Recipe.from_dict(metadata["recipe"]), list(classes)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({brief(error)}): restore it, or name another.") from error
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path} does not name its recipe and classes: name weights that this project saved."
        ) from error
