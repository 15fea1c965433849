"""Evaluate a network, and a finished run on the images that its numbers were taken on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100 import runs
from cifar100.augment import to_input
from cifar100.data import Images, is_sample, load_training_and_held
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.weights import load_network


@torch.no_grad()
def predict_logits(network: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """images: (N, 32, 32, 3) uint8 on the network's device -> logits (N, classes) float32. One view an image."""
    network.eval()
    return torch.cat([network(to_input(batch)).float() for batch in images.split(batch_size)])


def evaluate(network: nn.Module, data: Images, device: torch.device, batch_size: int = 500) -> tuple[float, float]:
    """The mean cross-entropy and the top-1 accuracy (0..1) over all images, in float32."""
    labels = torch.from_numpy(data.fine)
    logits = predict_logits(network, torch.from_numpy(data.images).to(device), batch_size).cpu()
    return F.cross_entropy(logits.double(), labels).item(), (logits.argmax(1) == labels).double().mean().item()


def top_accuracy(scores: np.ndarray, labels: np.ndarray, count: int) -> float:
    """How often the right class is among the `count` with the highest scores, 0..1. scores: (N, classes)."""
    own = np.take_along_axis(scores, labels[:, None], 1)
    return float(((scores > own).sum(1) < count).mean())


@dataclass(frozen=True)
class RunEvaluation:
    """Freshly computed figures of a run beside those in its metrics.json. Accuracies are 0..1."""

    folder: Path
    split: str  # "test" or "validation"
    count: int
    loss: float
    accuracy: float
    recorded_loss: float
    recorded_accuracy: float


def evaluate_run(
    folder: Path, data: str | None = None, device: str | None = None, batch_size: int = 500
) -> RunEvaluation:
    """Evaluate the saved weights: on the test split, or on the held-out images of a hold-out run.

    A run on the embedded sample is evaluated on the sample. Raises UserError if a file of the run
    is missing or damaged, or other data than the run's is asked for.
    """
    if batch_size < 1:
        raise UserError(f"The batch size must be 1 or more, not {batch_size}.")
    metrics, chosen = runs.load_metrics(folder), choose_device(device)
    if metrics["data"] == "sample":
        data = data or "sample"
    if is_sample(data) != (metrics["data"] == "sample"):
        raise UserError(
            f"{folder} was trained on {metrics['data']}: evaluate it on that, not on {data or 'the sample'}."
        )
    split = "validation" if "validation_loss" in metrics["final"] else "test"
    network = load_network(folder).to(chosen)
    _, held = load_training_and_held(data, holdout=split == "validation")
    loss, accuracy = evaluate(network, held, chosen, batch_size)
    recorded = metrics["final"]
    return RunEvaluation(
        folder, split, len(held), loss, accuracy, recorded[f"{split}_loss"], recorded[f"{split}_accuracy"]
    )
