"""Our training step, evaluation and pipeline as work without end, to be timed beside the plain way's."""

from collections.abc import Iterator

import torch

from cifar100.evaluation.logits import predict_logits
from cifar100.recipe import Recipe
from cifar100.training.speed import draw_noise, each_input, whole_batches
from cifar100.training.trainer import Trainer, make_trainer, train_step


def training_steps(recipe: Recipe, device: torch.device, compile: str, precision: str) -> Iterator[int]:
    """Our steps without end, on four batches that lie ready; yields each one's number of images."""
    trainer = start_trainer(recipe, device, precision)
    trainer.loss_step.compile(compile, say=lambda text: None)
    trainer.network.train()
    batches = whole_batches(trainer)
    ready = [next(batches) for _ in range(4)]
    while True:
        for inputs, targets in ready:
            train_step(trainer, inputs, targets)
            yield len(inputs)


def evaluations(recipe: Recipe, device: torch.device, batch_size: int) -> Iterator[int]:
    """Our predictions without end, from images in uint8."""
    network = start_trainer(recipe, device).result
    images = torch.from_numpy(draw_noise(batch_size).images).to(device)
    while True:
        yield len(predict_logits(network, images, batch_size))


def augmented_batches(recipe: Recipe, device: torch.device) -> Iterator[int]:
    """Our augmented batches without end, epoch after epoch of CIFAR-100's size."""
    yield from map(len, each_input(make_trainer(recipe, draw_noise(), device)))


def start_trainer(recipe: Recipe, device: torch.device, precision: str = "auto") -> Trainer:
    return make_trainer(recipe, draw_noise(1000), device, precision=precision)
