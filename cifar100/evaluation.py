"""Evaluate a finished run on the images that its numbers were taken on."""

from dataclasses import dataclass
from pathlib import Path

from cifar100 import runs
from cifar100.data import is_sample
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.train import evaluate, load_data
from cifar100.weights import load_network


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
    _, held = load_data(data, holdout=split == "validation")
    loss, accuracy = evaluate(network, held, chosen, batch_size)
    recorded = metrics["final"]
    return RunEvaluation(
        folder, split, len(held), loss, accuracy, recorded[f"{split}_loss"], recorded[f"{split}_accuracy"]
    )
