"""How accuracy falls as pictures get worse: a few of the corruptions of CIFAR-100-C, at five severities.

Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
arXiv:1903.12261, with the strengths of their CIFAR version, made by Albumentations. We differ where the library does:
it adds brightness to the pixels' values, not to HSV's, and takes contrast about the picture's mean grey value, not
about each channel's mean.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from torch import nn

from cifar100.dataset.cifar import Images
from cifar100.errors import UserError
from cifar100.evaluation.corruption_table import (
    SEVERITIES,
    STRENGTHS,
    CorruptionTable,
    find_table,
    load_corruptions,
    save_corruptions,
    table_file,
)
from cifar100.evaluation.logits import compute_logits, open_run
from cifar100.runs.run import Run


def make_corruption(name: str, severity: int):
    """The corruption as an Albumentations pipeline: (32, 32, 3) uint8 in and out."""
    import albumentations as A
    import cv2

    strength = STRENGTHS[name][severity - 1]
    both = (strength, strength)
    transforms = {
        "noise": lambda: A.GaussNoise(std_range=both, mean_range=(0, 0), per_channel=True, p=1),
        "blur": lambda: A.GaussianBlur(sigma_limit=both, blur_limit=(7, 7), p=1),
        "contrast": lambda: A.ColorJitter((1, 1), both, (1, 1), (0, 0), p=1),
        "brightness": lambda: A.RandomBrightnessContrast(both, (0, 0), p=1),
        "JPEG": lambda: A.ImageCompression("jpeg", both, p=1),
        "pixelation": lambda: A.Downscale(
            both, interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_NEAREST_EXACT}, p=1
        ),
    }
    return A.Compose([transforms[name]()], strict=True, seed=severity)


def corrupt(images: np.ndarray, name: str, severity: int) -> np.ndarray:
    """images: (N, 32, 32, 3) uint8 -> the same, corrupted; the same again for the same input.

    Raises UserError for an unknown name or severity.
    """
    if name not in STRENGTHS or severity not in SEVERITIES:
        raise UserError(f"There is no {name!r} of severity {severity}: choose from {', '.join(STRENGTHS)}, 1 to 5.")
    corruption = make_corruption(name, severity)
    return np.stack([corruption(image=image)["image"] for image in images])


def corrupted_accuracies(network: nn.Module, test: Images) -> Iterator[tuple[str, int, float]]:
    """(corruption, severity, accuracy in 0..1), one after the other; severity 0 of "clean" comes first."""

    def accuracy(images: np.ndarray) -> float:
        return float((compute_logits(network, images).argmax(1) == test.fine).mean())

    yield "clean", 0, accuracy(test.images)
    for name in STRENGTHS:
        for severity in SEVERITIES:
            yield name, severity, accuracy(corrupt(test.images, name, severity))


def measure_corruptions(
    folder: Path,
    data: str | None = None,
    device: str | None = None,
    count: int = 10_000,
    measure: Callable[[nn.Module, Images], Iterable[tuple[str, int, float]]] = corrupted_accuracies,
    path: Path | None = None,
) -> CorruptionTable:
    """Measure a finished run on the first `count` of its own images and keep the table beside its folder.

    measure: as `corrupted_accuracies`; path: where the table is kept, None for the place of ours.
    Raises UserError as `open_run` does, and if count is not above 0.
    """
    if count < 1:
        raise UserError(f"The number of images must be 1 or more, not {count}.")
    opened, path = open_run(folder, data, device), path or table_file(folder)
    images = opened.data.take(np.arange(min(count, len(opened.data))))
    rows = list(measure(opened.network, images))
    save_corruptions(rows, len(images), opened.run.metrics["sha256"]["weights"], path)
    return load_corruptions(path)


def corruptions_of(folder: Path, count: int, say: Callable[[str], None] = print) -> CorruptionTable:
    """The table of a finished run: as it was kept, if it is of these weights, else measured on `count` images. `say`
    is told which."""
    if table := find_table(Run.load(folder)):
        say(f"Loaded {table_file(folder)}, measured on {table.images:,} images.")
        return table
    say(f"Measuring on {count:,} images.")
    return measure_corruptions(folder, count=count)
