"""Turn uint8 pictures into the network's input: augmented for training, plain for evaluation.

Every random draw is a function of (seed, epoch, image index), so that it does not matter in
which order, by how many workers, or after how many interruptions an image is seen.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cifar100.data import MEAN, STD
from cifar100.recipe import Recipe


def make_generator(*key: int) -> torch.Generator:
    """A CPU generator that depends on all the numbers of the key, and on nothing else."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))


def to_input(images: Tensor, pixels: int = 32) -> Tensor:
    """The one way from a picture to the network's input.

    images: (N, 32, 32, 3) uint8 RGB -> (N, 3, pixels, pixels) float32, normalised, channels-last
    in memory. Smaller sides are made by bilinear interpolation with antialiasing.
    """
    scaled = images.permute(0, 3, 1, 2).float()  # NHWC seen as NCHW is channels-last already
    if pixels != scaled.size(-1):
        scaled = F.interpolate(scaled, size=(pixels, pixels), mode="bilinear", antialias=True)
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1) * 255
    std = torch.tensor(STD, device=images.device).view(3, 1, 1) * 255
    return (scaled - mean) / std


class BatchAugmentation:
    """Random crop with reflection, flip and resize, for a whole batch on its own device."""

    def __init__(self, recipe: Recipe, count: int):
        """count: size of the training set that the indices refer to."""
        self.recipe, self.count = recipe, count

    def draw(self, epoch: int) -> tuple[Tensor, Tensor]:
        """The epoch's draws for every image: shifts (count, 2) in pixels, from -padding to
        padding, down and to the right; flips (count,) bool."""
        padding, seed = self.recipe.crop_padding, self.recipe.seed
        shifts = torch.randint(-padding, padding + 1, (self.count, 2), generator=make_generator(seed, epoch, 0))
        if self.recipe.flip == "alternating":
            # Jordan 2024, section 3.6: after two epochs every image was seen both ways exactly once.
            first = torch.rand(self.count, generator=make_generator(seed, 1)) < 0.5
            return shifts, first ^ (epoch % 2 == 0)
        chance = 0.5 if self.recipe.flip == "random" else 0.0
        return shifts, torch.rand(self.count, generator=make_generator(seed, epoch, 1)) < chance

    def start_epoch(self, epoch: int, device: torch.device) -> None:
        """Make the epoch's draws, once, where the batches will need them."""
        self.shifts, self.flips = (draws.to(device) for draws in self.draw(epoch))

    def __call__(self, images: Tensor, indices: Tensor, pixels: int = 32) -> Tensor:
        """images: (N, 32, 32, 3) uint8; indices: (N,) int64, their places in the training set
        -> (N, 3, pixels, pixels) float32, normalised."""
        return to_input(crop_and_flip(images, self.shifts[indices], self.flips[indices]), pixels)


def crop_and_flip(images: Tensor, shifts: Tensor, flips: Tensor) -> Tensor:
    """Move each picture's window by its shift, the border reflected, and mirror it where asked.

    One gather instead of padding, cropping and flipping in turn. images: (N, H, W, C);
    shifts: (N, 2) pixels, smaller than H and W; flips: (N,) bool -> (N, H, W, C).
    """
    count, height, width, _ = images.shape
    rows = torch.arange(height, device=images.device) + shifts[:, :1]  # (N, H)
    columns = torch.arange(width, device=images.device).expand(count, width)
    columns = torch.where(flips[:, None], columns.flip(1), columns) + shifts[:, 1:]  # (N, W)
    rows = (height - 1) - ((height - 1) - rows.abs()).abs()  # reflect about the first and last pixel
    columns = (width - 1) - ((width - 1) - columns.abs()).abs()
    batch = torch.arange(count, device=images.device)[:, None, None]
    return images[batch, rows[:, :, None], columns[:, None, :]]
