"""Our training step, evaluation and input pipeline as endless generators, to compare with the baseline."""

import itertools
from collections.abc import Iterator

import torch

from benchmarks.plain import draw_noise
from cifar100.bench import make_inputs_forever, take_step
from cifar100.dataset.augment_batch import mix
from cifar100.dataset.augment_image import to_input
from cifar100.evaluation.logits import predict_logits
from cifar100.recipe import Recipe
from cifar100.train import Training, build


def training_steps(recipe: Recipe, device: torch.device, compile: bool, precision: str) -> Iterator[int]:
    """Train endlessly on four prepared batches; yields the number of images of each step."""
    training = start(recipe, device, compile, precision)
    training.network.train()
    noise = draw_noise(4 * recipe.batch_size)
    images, labels = (torch.from_numpy(part).to(device).split(recipe.batch_size) for part in (noise.images, noise.fine))
    ready = [mix(to_input(part), own, recipe.augmentation) for part, own in zip(images, labels)]
    yield from (take_step(training, *batch) for batch in itertools.cycle(ready))


def evaluations(recipe: Recipe, device: torch.device, batch_size: int) -> Iterator[int]:
    """Predict endlessly, from uint8 images."""
    network = start(recipe, device).network
    images = torch.from_numpy(draw_noise(batch_size).images).to(device)
    while True:
        yield len(predict_logits(network, images, batch_size))


def augmented_batches(recipe: Recipe, device: torch.device) -> Iterator[int]:
    """Augment endlessly, in epochs of the size of CIFAR-100."""
    yield from map(len, make_inputs_forever(build(recipe, draw_noise(), device, compile=False)))


def start(recipe: Recipe, device: torch.device, compile: bool = False, precision: str = "auto") -> Training:
    return build(recipe, draw_noise(1000), device, compile=compile, precision=precision, say=lambda text: None)
