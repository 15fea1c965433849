"""The network's input from uint8 images, and the augmentation of single images with Albumentations.

All random numbers are a function of (seed, epoch, image index), whatever the order, workers and interruptions.
"""

import functools
import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cifar100.dataset.cifar import MEAN, STD
from cifar100.recipe import Augmentation

ERASING_AREA = (0.02, 0.3)  # fractions of the image; 0.33 would not fit into it at every ratio
ERASING_RATIO = (0.3, 3.3)  # width to height


def make_generator(*key: int) -> torch.Generator:
    """A CPU generator whose seed is a function of the numbers in the key."""
    seeds = np.random.SeedSequence((len(key), *key))  # without the length (1,) and (1, 0) would be equal
    return torch.Generator().manual_seed(int(seeds.generate_state(1, np.uint64)[0]) >> 1)


def to_input(images: Tensor, pixels: int = 32) -> Tensor:
    """The network's input, for training and evaluation alike.

    images: (N, 32, 32, 3) RGB, uint8 or float32 in 0..255 -> (N, 3, pixels, pixels) float32, normalised, channels-last
    in memory. Smaller sizes are interpolated bilinearly with antialiasing.
    """
    scaled = images.permute(0, 3, 1, 2).float()  # NHWC viewed as NCHW is channels-last already
    if pixels != scaled.size(-1):
        scaled = F.interpolate(scaled, size=(pixels, pixels), mode="bilinear", antialias=True)
    mean, std = mean_and_std(images.device)
    return (scaled - mean) / std


@functools.cache  # copying them to the GPU in every step would be slow
def mean_and_std(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the channels in 0..255, (3, 1, 1) each."""
    return tuple(255 * torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))


def make_albumentations(augmentation: Augmentation):
    """The augmentation as an Albumentations pipeline: (H, W, 3) uint8 in and out, not normalised. `strict` raises an
    error for unknown arguments."""
    import albumentations as A
    import cv2

    a, size, transforms = augmentation, 32, []
    if a.crop_padding:
        border = cv2.BORDER_REFLECT_101 if a.crop_border == "reflect" else cv2.BORDER_CONSTANT
        padded = size + 2 * a.crop_padding
        transforms += [A.PadIfNeeded(padded, padded, border_mode=border), A.RandomCrop(size, size)]
    if a.flip == "random":
        transforms.append(A.HorizontalFlip(p=0.5))
    if a.affine:
        shift, angles = (-a.shift, a.shift), (-a.rotation, a.rotation)
        moves = {"translate_percent": {"x": shift, "y": shift}, "scale": a.scale, "rotate": angles}
        transforms.append(A.Affine(**moves, keep_ratio=True, p=a.affine_probability))  # the same scale for both axes
    fill = 0 if a.hole_color == "black" else tuple(round(255 * mean) for mean in MEAN)
    cutout, sides = [], (a.cutout, a.cutout)
    if a.cutout:
        cutout = [A.CoarseDropout((1, 1), sides, sides, fill=fill, p=a.cutout_probability)]
    if a.cutout and a.cutout_anywhere:  # inside a larger image, whose border is then cropped
        padded = size + 2 * (a.cutout // 2)
        cutout = [A.PadIfNeeded(padded, padded), *cutout, A.CenterCrop(size, size)]
    jitter = [A.ColorJitter(*a.jitter, p=a.jitter_probability)] if any(a.jitter) else []
    # A hole of the mean colour, 0 in the normalised input, comes after the jitter, which would change it.
    transforms += cutout + jitter if a.hole_color == "black" else jitter + cutout
    if a.erasing:
        transforms.append(A.Erasing(scale=ERASING_AREA, ratio=ERASING_RATIO, fill=fill, p=a.erasing))
    return A.Compose(transforms, strict=True)


class ImageAugmentation:
    """An Albumentations pipeline whose random numbers are a function of (seed, epoch, image index)."""

    def __init__(self, augmentation: Augmentation, seed: int):
        self.seed = seed
        # All transforms draw from these two. Seeding them takes 15 us per image; Compose.set_random_seed takes longer.
        self.numpy_random, self.python_random = np.random.default_rng(), random.Random()
        self.pipeline = make_albumentations(augmentation)
        self.pipeline.set_random_state(self.numpy_random, self.python_random)

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """image: (32, 32, 3) uint8 -> the augmented image."""
        self.python_random.seed(f"{self.seed}/{epoch}/{index}")
        self.numpy_random.bit_generator.state = np.random.PCG64(self.python_random.getrandbits(64)).state
        return self.pipeline(image=image)["image"]
