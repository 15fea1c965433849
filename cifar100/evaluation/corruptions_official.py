"""CIFAR-100-C as its authors published it (Hendrycks and Dietterich 2019, arXiv:1903.12261): read, where it lies beside
the data, and not made. Of each kind a file <kind>.npy, the 10,000 test images at severity 1, then at 2, to 5; and their
labels in labels.npy."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import nn

from cifar100.dataset.cifar import SIZES, Images
from cifar100.errors import UserError
from cifar100.evaluation.corruption_table import OFFICIAL, SEVERITIES
from cifar100.evaluation.logits import compute_logits

FOLDER = "CIFAR-100-C"


def official_accuracies(network: nn.Module, test: Images, folder: Path) -> Iterator[tuple[str, int, float]]:
    """(corruption, severity, accuracy in 0..1) on the corrupted versions of these images, the first of the test set;
    severity 0 of "clean" comes first. Raises UserError if a file is missing, or not of this kind."""
    count, whole = len(test), SIZES["test"]
    labels = read(folder / "labels.npy", (5 * whole,)).reshape(5, whole)[:, :count]
    if (labels != test.fine).any():
        raise UserError(f"{folder / 'labels.npy'} has other labels than the test images: fetch {FOLDER} anew.")
    files = {kind: read(folder / f"{kind}.npy", (5 * whole, 32, 32, 3)) for kind in OFFICIAL}

    def accuracy(images: np.ndarray) -> float:
        return float((compute_logits(network, images).argmax(1) == test.fine).mean())

    yield "clean", 0, accuracy(test.images)
    for kind, images in files.items():
        for severity in SEVERITIES:
            first = (severity - 1) * whole
            yield kind, severity, accuracy(images[first : first + count])


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """An array of whole numbers from 0 to 255 that stays on the disk until it is asked for."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch {FOLDER} anew, or remove the folder.") from error
    if array.shape != shape or array.dtype.kind not in "ui":
        raise UserError(f"{path} holds {array.shape} {array.dtype}, not {shape}: fetch {FOLDER} anew.")
    return array
