"""The logits of a network for images, and the evaluation of a finished run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cifar100.dataset.augment_image import to_input
from cifar100.dataset.cifar import Images, is_sample, load_evaluation_set
from cifar100.device import choose_device
from cifar100.errors import UserError
from cifar100.network import load_network
from cifar100.runs.run import Run


@torch.no_grad()
def predict_logits(network: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """images: (N, 32, 32, 3) uint8 on the network's device -> logits (N, classes) float32. One view per image."""
    network.eval()
    return torch.cat([network(to_input(batch)).float() for batch in images.split(batch_size)])


def compute_logits(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """`predict_logits` of arrays: (N, 32, 32, 3) uint8 -> (N, classes) float32."""
    on_device = torch.tensor(images, device=next(network.parameters()).device)
    return predict_logits(network, on_device).cpu().numpy()


@torch.no_grad()
def extract_features(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """The input of the last layer for each image: (N, 32, 32, 3) uint8 -> (N, channels) float32."""
    network.eval()
    batches = torch.tensor(images, device=next(network.parameters()).device).split(500)
    return torch.cat([network.features(to_input(batch)).float() for batch in batches]).cpu().numpy()


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A finished run and the logits of its saved weights."""

    run: Run
    network: nn.Module
    data: Images  # of the evaluation
    logits: np.ndarray  # (N, classes) float32


def open_run(folder: Path, data: str | None = None, device: str | None = None) -> tuple[Run, nn.Module, Images]:
    """A finished run, its network, and the images of its evaluation: the test split or the held-out images, for a run
    on the embedded sample those of the sample. Raises UserError if a file of the run is missing or damaged, or if
    `data` is not the data of the run."""
    run, chosen = Run.load(folder), choose_device(device)
    data = data or ("sample" if run.sample else None)
    if is_sample(data) != run.sample:
        raise UserError(
            f"{folder} was trained on {run.metrics['data']}: evaluate it on that, not on {data or 'the sample'}."
        )
    return run, load_network(folder).to(chosen), load_evaluation_set(data, holdout=run.split == "validation")


def evaluate_run(folder: Path, data: str | None = None, device: str | None = None) -> Evaluation:
    """Evaluate the saved weights of a run on its images. Raises UserError as `open_run` does."""
    run, network, images = open_run(folder, data, device)
    return Evaluation(run, network, images, compute_logits(network, images.images))
