"""Test pictures that also lie in the training set, exactly or nearly.

Barz and Denzler 2020, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates", arXiv:1902.00423, took the nearest
neighbours in a network's feature space and judged them by eye. Here two searches, in pixel and in feature space, only
propose; what decides is whether the details of the two pictures fall on one another. Seas and skies resemble each other
in pixel space whatever they show, relatives in feature space: their details differ.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100.dataset.cifar import is_sample, load_training_and_held
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.evaluation.logits import extract_features
from cifar100.files import load_table, save_table
from cifar100.runs.weights import load_network

MARGIN = 2  # pixels that a shift may cut off on each side
MIN_CORRELATION, MIN_COSINE = 0.88, 0.85  # of a proposal, in pixel and in feature space
# Chosen by eye on 30 pairs of each band: from 0.7 to 0.8 about five in six show the same thing in the same view (the
# others are pairs of like products); below 0.65 less than half do.
MIN_DETAIL = 0.7
KINDS = ("exact", "near")
COMMITTED = Path(__file__).with_name("near_duplicates.csv")  # of CIFAR-100, by `python -m cifar100 duplicates RUN`


@dataclass(frozen=True)
class Pair:
    """A test picture and the training picture that it repeats."""

    test: int
    train: int
    kind: str  # one of KINDS
    similarity: float  # correlation of the details, see `compare_details`


def nearest_in_pixels(test: np.ndarray, train: np.ndarray, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """For each test picture the training picture with the highest correlation, after a shift of up to two pixels each
    way and a flip of either: (indices, correlations), (N,) each. test, train: (N, 32, 32, 3) uint8."""
    best = torch.full((len(test),), -1.0)
    index = torch.zeros(len(test), dtype=torch.int64)
    references = standardise(crop(train, 0, 0)).to(device)
    for shift_down in range(-MARGIN, MARGIN + 1):
        for shift_right in range(-MARGIN, MARGIN + 1):
            for turned in (test, test[:, :, ::-1]):
                queries = standardise(crop(turned, shift_down, shift_right)).to(device)
                for start in range(0, len(queries), 1000):
                    part = slice(start, start + 1000)
                    similarity, nearest = (queries[part] @ references.T).max(1)
                    better = similarity.cpu() > best[part]
                    best[part] = torch.where(better, similarity.cpu(), best[part])
                    index[part] = torch.where(better, nearest.cpu(), index[part])
    return index.numpy(), best.numpy()


def crop(images: np.ndarray, down: int, right: int) -> Tensor:
    """The middle of the pictures, moved by so many pixels, at half the resolution: (N, 14 * 14 * 3) float32."""
    side = images.shape[1] - 2 * MARGIN
    rows, columns = MARGIN + down, MARGIN + right
    middle = torch.from_numpy(np.ascontiguousarray(images[:, rows : rows + side, columns : columns + side]))
    return F.avg_pool2d(middle.permute(0, 3, 1, 2).float(), 2).flatten(1)


def standardise(vectors: Tensor) -> Tensor:
    """Each vector without its mean, of length 1, so that a product of two is their correlation."""
    return F.normalize(vectors - vectors.mean(1, keepdim=True))


def nearest_in_features(
    network: nn.Module, test: np.ndarray, train: np.ndarray, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """For each test picture the training picture whose penultimate features have the highest cosine:
    (indices, cosines), (N,) each. test, train: (N, 32, 32, 3) uint8."""
    network = network.to(device)
    features = (torch.from_numpy(extract_features(network, images)).to(device) for images in (test, train))
    queries, references = map(F.normalize, features)
    found = [(part @ references.T).max(1) for part in queries.split(1000)]
    return (
        torch.cat([f.indices for f in found]).cpu().numpy(),
        torch.cat([f.values for f in found]).cpu().numpy(),
    )


def compare_details(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How well the details of two pictures fall on one another, pair by pair: (N,) correlations.

    Details are what is left when the mean of 7x7 pixels is taken away. The best of all shifts by up to three pixels
    each way, and of the first picture and its mirror image. first, second: (N, 32, 32, 3) uint8.
    """
    margin = 3
    middle = slice(margin, 32 - margin)
    references = standardise(details(second)[:, :, middle, middle].flatten(1))
    best = torch.full((len(first),), -1.0)
    for turned in (first, first[:, :, ::-1]):
        moving = details(turned)
        for top in range(2 * margin + 1):
            for left in range(2 * margin + 1):
                window = moving[:, :, top : top + 32 - 2 * margin, left : left + 32 - 2 * margin]
                best = torch.maximum(best, (standardise(window.flatten(1)) * references).sum(1))
    return best.numpy()


def details(images: np.ndarray) -> Tensor:
    """(N, 32, 32, 3) uint8 -> (N, 3, 32, 32) float32 without the mean of each pixel's surroundings."""
    planes = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    return planes - F.avg_pool2d(planes, 7, stride=1, padding=3, count_include_pad=False)


def find_near_duplicates(test: np.ndarray, train: np.ndarray, network: nn.Module, device: torch.device) -> list[Pair]:
    """The test pictures that repeat a training picture, in their order, each with the one that it resembles most.

    test, train: (N, 32, 32, 3) uint8; network: whose features are compared.
    """
    first: dict[bytes, int] = {}
    for index, image in enumerate(train):
        first.setdefault(image.tobytes(), index)
    found = {
        k: Pair(k, first[image.tobytes()], "exact", 1.0) for k, image in enumerate(test) if image.tobytes() in first
    }
    for (indices, similarities), least in (
        (nearest_in_pixels(test, train, device), MIN_CORRELATION),
        (nearest_in_features(network, test, train, device), MIN_COSINE),
    ):
        proposed = np.flatnonzero(similarities >= least)
        for k, similarity in zip(proposed, compare_details(test[proposed], train[indices[proposed]])):
            best = max(MIN_DETAIL, found[k].similarity if k in found else 0.0)
            if similarity >= best and not (k in found and found[k].kind == "exact"):
                found[int(k)] = Pair(int(k), int(indices[k]), "near", round(float(similarity), 4))
    return [found[k] for k in sorted(found)]


def find_run_duplicates(folder: Path, data: str | None = None, device: str | None = None) -> list[Pair]:
    """`find_near_duplicates` among CIFAR-100's test images, with the features of a finished run's network. Raises
    UserError if a file of the run is missing or damaged, or the data is missing or the sample."""
    if is_sample(data):
        raise UserError("The embedded sample has no duplicates to find: name the folder that holds CIFAR-100.")
    network = load_network(folder)
    training, test = load_training_and_held(data)
    return find_near_duplicates(test.images, training.images, network, choose_device(device))


def save_pairs(pairs: list[Pair], path: Path = COMMITTED) -> None:
    """Write the pairs as a CSV file."""
    rows = ((pair.test, pair.train, pair.kind, f"{pair.similarity:.4f}") for pair in pairs)
    save_table(path, ("test", "train", "kind", "similarity"), rows)


def load_pairs(path: Path = COMMITTED) -> list[Pair]:
    """What `save_pairs` wrote. Raises UserError if the file is missing or damaged."""
    try:
        rows = load_table(path)
        return [Pair(int(r["test"]), int(r["train"]), r["kind"], float(r["similarity"])) for r in rows]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error!r}): restore it, or run `python -m cifar100 duplicates RUN`."
        ) from error
