"""How accuracy falls as pictures get worse: a few of the corruptions of CIFAR-100-C, at five severities.

Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
arXiv:1903.12261, with the strengths of their CIFAR version, made by Albumentations. We differ where the library does:
it adds brightness to the pixels' values, not to HSV's.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cifar100.data import Images, load_training_and_held
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.evaluation import predict_logits
from cifar100.files import write_text
from cifar100.runs import load_metrics
from cifar100.weights import load_network

STRENGTHS = {  # at severities 1 to 5
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # deviation of a Gaussian, of the range 0..1
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # deviation of a Gaussian, in pixels
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # factor on the distance to the mean grey value
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),  # added, of the range 0..1
    "JPEG": (80, 65, 58, 50, 40),  # quality
    "pixelation": (0.95, 0.9, 0.85, 0.75, 0.65),  # of the side that is left
}
SEVERITIES = range(1, 6)


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
    device = next(network.parameters()).device

    def accuracy(images: np.ndarray) -> float:
        guesses = predict_logits(network, torch.from_numpy(images).to(device)).argmax(1).cpu().numpy()
        return float((guesses == test.fine).mean())

    yield "clean", 0, accuracy(test.images)
    for name in STRENGTHS:
        for severity in SEVERITIES:
            yield name, severity, accuracy(corrupt(test.images, name, severity))


def corrupt_run(
    folder: Path, data: str | None = None, device: str | None = None, count: int = 10_000
) -> tuple[dict[str, list[float]], float, int, Path]:
    """Measure a finished run on its first `count` test images and keep the result as <recipe>/corruptions.csv.

    Returns what `load_corruptions` does, and the file. Raises UserError if a file of the run is missing or damaged,
    or count is not above 0.
    """
    if count < 1:
        raise UserError(f"The number of images must be 1 or more, not {count}.")
    sample = load_metrics(folder)["data"] == "sample"
    network = load_network(folder).to(choose_device(device))
    _, test = load_training_and_held("sample" if sample else data)
    test = test.take(np.arange(min(count, len(test))))
    path = folder.parent / "corruptions.csv"
    save_corruptions(list(corrupted_accuracies(network, test)), len(test), path)
    return *load_corruptions(path), path


def save_corruptions(rows: list[tuple[str, int, float]], count: int, path: Path) -> None:
    """Write (corruption, severity, accuracy) rows as a CSV file; count: images that each was computed on."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("corruption", "severity", "accuracy", "images"))
    writer.writerows((name, severity, f"{accuracy:.6f}", count) for name, severity, accuracy in rows)
    write_text(path, text.getvalue())


def load_corruptions(path: Path) -> tuple[dict[str, list[float]], float, int]:
    """What `save_corruptions` wrote: the accuracies of each corruption by rising severity, that of the clean images,
    and the number of images. Raises UserError if the file is missing or damaged."""
    try:
        with open(path, newline="") as file:
            rows = [
                (r["corruption"], int(r["severity"]), float(r["accuracy"]), int(r["images"]))
                for r in csv.DictReader(file)
            ]
        accuracies = {name: [a for n, _, a, _ in sorted(rows) if n == name] for name in STRENGTHS}
        ((clean, count),) = [(a, images) for name, _, a, images in rows if name == "clean"]
        if any(len(values) != len(SEVERITIES) for values in accuracies.values()):
            raise ValueError("a severity is missing")
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error!r}): run `python -m cifar100 corruptions` again.") from error
    return accuracies, clean, count
