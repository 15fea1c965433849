"""The accuracy on corrupted images, and the saved table of each run.

Six corruptions at five severities: Hendrycks and Dietterich 2019, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations", arXiv:1903.12261, with the strengths of their CIFAR version. The
implementation is that of Albumentations, which adds brightness to the pixel values (not to HSV's value) and changes
contrast about the mean grey value of the image (not the mean of each channel).
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from cifar100.errors import UserError
from cifar100.files import check_writable, load_table, save_table
from cifar100.runs.run import Run

STRENGTHS = {  # at severities 1 to 5
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # standard deviation of the Gaussian, in the range 0..1
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # standard deviation of the Gaussian, in pixels
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # factor on the difference from the mean grey value
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),  # added, in the range 0..1
    "JPEG": (80, 65, 58, 50, 40),  # quality
    "pixelation": (0.95, 0.9, 0.85, 0.75, 0.65),  # fraction of the side that is left
}
SEVERITIES = range(1, 6)


@dataclass(frozen=True)
class CorruptionTable:
    """Accuracies under corruption, 0..1."""

    clean: float
    accuracies: dict[str, list[float]]  # corruption -> one for each severity from 1
    images: int  # number of images for each accuracy
    weights: str  # SHA-256 of the weights that were measured

    @property
    def means(self) -> dict[str, float]:
        """The mean of each corruption over its severities."""
        return {name: mean(values) for name, values in self.accuracies.items()}


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
    """images: (N, 32, 32, 3) uint8 -> corrupted images, the same in each call. name: in STRENGTHS."""
    corruption = make_corruption(name, severity)
    return np.stack([corruption(image=image)["image"] for image in images])


def measure_corruptions(
    folder: Path, data: str | None = None, device: str | None = None, count: int = 10_000
) -> CorruptionTable:
    """Measure a finished run on the first `count` of its own images and save the table as `table_file`. Raises
    UserError as `open_run` does, if count is below 1, and if there already is a table of more images."""
    from cifar100.evaluation.logits import compute_logits, open_run  # reading a table does not need torch

    if count < 1:
        raise UserError(f"The number of images must be 1 or more, not {count}.")
    run, network, images = open_run(folder, data, device)
    images, path = images.take(np.arange(min(count, len(images)))), table_file(folder)
    kept = find_table(run)
    if kept and kept.images > len(images):
        raise UserError(f"{path} was measured on {kept.images:,} images: use --images {kept.images}, or delete it.")
    check_writable(path)  # before minutes of computing

    def accuracy(pixels: np.ndarray) -> float:
        return float((compute_logits(network, pixels).argmax(1) == images.fine).mean())

    rows = [("clean", 0, accuracy(images.images))]
    for name, severity in itertools.product(STRENGTHS, SEVERITIES):
        rows.append((name, severity, accuracy(corrupt(images.images, name, severity))))
    save_corruptions(rows, len(images), run.metrics["sha256"]["weights"], path)
    return load_corruptions(path)


def table_file(folder: Path) -> Path:
    """The path of a run's table, beside the run's folder."""
    return folder.with_name(f"corruptions_{folder.name}.csv")


def find_table(run: Run) -> CorruptionTable | None:
    """The saved table of a run if it is for these weights, else None. Raises UserError if it is damaged."""
    path = table_file(run.folder)
    table = load_corruptions(path) if path.is_file() else None
    return table if table and table.weights == run.metrics["sha256"]["weights"] else None


def save_corruptions(rows: list[tuple[str, int, float]], count: int, weights: str, path: Path) -> None:
    """Write a CorruptionTable as a CSV file. rows: corruption, severity, accuracy, 0..1; ("clean", 0, ...) first."""
    lines = ((name, severity, f"{accuracy:.6f}", count, weights) for name, severity, accuracy in rows)
    save_table(path, ("corruption", "severity", "accuracy", "images", "weights"), lines)


def load_corruptions(path: Path) -> CorruptionTable:
    """Load what `save_corruptions` wrote. Raises UserError if the file is missing or damaged."""
    try:
        rows, accuracies = load_table(path), {}
        for row in rows:
            accuracies.setdefault(row["corruption"], []).append(float(row["accuracy"]))
        (clean,) = accuracies.pop("clean")
        if not accuracies or any(len(values) != len(SEVERITIES) for values in accuracies.values()):
            raise ValueError("a severity is missing")
        return CorruptionTable(clean, accuracies, int(rows[0]["images"]), rows[0]["weights"])
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{path} cannot be read ({error!r}): delete it, and run `python -m cifar100 corruptions RUN`."
        ) from error
