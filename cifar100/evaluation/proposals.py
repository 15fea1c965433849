"""Which training pictures might be the same photograph as a test picture: its nearest neighbours in three spaces.

Pixels see the same colours in the same places, outlines see the same edges whatever the colours, and a network's
features see the same thing wherever it lies. Each finds copies that the others miss.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100.evaluation.alignment import to_planes
from cifar100.evaluation.logits import extract_features

NEIGHBOURS = 3  # proposed by each space
DIRECTIONS = 8  # of an edge, in half a turn


@dataclass(frozen=True)
class Space:
    """Vectors of length 1: of N test pictures, their mirror images, and M training pictures, (N or M, D) each."""

    test: Tensor
    mirrored: Tensor
    train: Tensor

    def nearest(self, batch_size: int = 500) -> tuple[np.ndarray, np.ndarray]:
        """The nearest training pictures of each test picture or its mirror image, and their cosines, the nearest
        first: (N, 3) each, or as many columns as there are training pictures."""
        count, cosines, indices = min(NEIGHBOURS, len(self.train)), [], []
        for test, mirrored in zip(self.test.split(batch_size), self.mirrored.split(batch_size)):
            found = torch.maximum(test @ self.train.T, mirrored @ self.train.T).topk(count, 1)
            cosines.append(found.values.cpu())
            indices.append(found.indices.cpu())
        return torch.cat(indices).numpy(), torch.cat(cosines).numpy()

    def cosines(self, test: np.ndarray, train: np.ndarray) -> np.ndarray:
        """Of pairs, the mirror image or not, whichever is nearer. test, train: indices, (P,) each -> (P,)."""
        partners = self.train[torch.from_numpy(train).to(self.train.device)]
        rows = torch.from_numpy(test).to(self.test.device)
        both = [(vectors[rows] * partners).sum(1) for vectors in (self.test, self.mirrored)]
        return torch.maximum(*both).cpu().numpy()


def make_space(
    describe: Callable[[np.ndarray], Tensor], test: np.ndarray, train: np.ndarray, device: torch.device
) -> Space:
    """What `describe` says of the pictures. test, train: (N, 32, 32, 3) uint8."""

    def describe_all(images: np.ndarray) -> Tensor:
        parts = [describe(images[first : first + 5000]) for first in range(0, len(images), 5000)]
        return torch.cat(parts).to(device)

    return Space(describe_all(test), describe_all(test[:, :, ::-1]), describe_all(train))


def standardise(vectors: Tensor) -> Tensor:
    """Each vector without its mean, of length 1, so that a product of two is their correlation: (N, ...) -> (N, D)."""
    vectors = vectors.flatten(1)
    return F.normalize(vectors - vectors.mean(1, keepdim=True))


def describe_pixels(images: np.ndarray) -> Tensor:
    """The means of 4x4 pixels: (N, 192)."""
    return standardise(F.avg_pool2d(to_planes(images), 4))


def describe_outlines(images: np.ndarray) -> Tensor:
    """How strong edges are in each of eight directions, in 8x8 overlapping cells of 8x8 pixels: (N, 512).

    Histograms of oriented gradients (Dalal and Triggs 2005), of grey pictures, measured against the mean strength of
    9x9 pixels; the square root keeps single edges from outweighing all others.
    """
    grey = F.pad(to_planes(images).mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    right, down = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2], grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
    strength = (right.square() + down.square()).sqrt() + 1e-3
    directions = torch.arange(DIRECTIONS)[:, None, None] * torch.pi / DIRECTIONS
    shares = torch.cos(torch.atan2(down, right) - directions).abs() ** 8
    around = F.avg_pool2d(strength, 9, stride=1, padding=4, count_include_pad=False)
    cells = F.avg_pool2d(shares * strength / (around + 8), 8, stride=4, padding=2, count_include_pad=False)
    return standardise((cells + 1e-6).sqrt())


def make_feature_space(network: nn.Module, test: np.ndarray, train: np.ndarray, device: torch.device) -> Space:
    """The network's penultimate features. The directions in which they vary most tell the classes apart, not the
    pictures: each principal component is divided by the square root of its standard deviation."""
    network, mirrored = network.to(device), np.ascontiguousarray(test[:, :, ::-1])
    raw = [torch.from_numpy(extract_features(network, images)) for images in (test, mirrored, train)]
    centre = raw[2].mean(0)
    centred = raw[2] - centre
    variances, components = torch.linalg.eigh(centred.T @ centred / len(centred))
    components = components / variances.clamp(min=variances.max() * 1e-4) ** 0.25
    return Space(*(F.normalize((features - centre) @ components).to(device) for features in raw))
