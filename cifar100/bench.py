"""How fast a recipe is on this machine, and so how long a run will take."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from cifar100.dataset.augment_batch import mix
from cifar100.dataset.augment_image import to_input
from cifar100.dataset.cifar import SIZES, load_split
from cifar100.device import choose_device
from cifar100.recipe import Recipe
from cifar100.runs.history import format_seconds
from cifar100.train import Training, build, evaluate, make_inputs

SECONDS, WARM_UP = 5.0, 5  # that each part is measured; batches before it


@dataclass(frozen=True)
class Bench:
    """Images per second of a recipe's parts, and the seconds of an epoch and of a run on CIFAR-100 that follow."""

    recipe: str
    machine: str
    num_workers: int
    batch_size: int
    pipeline: float  # loading and augmentation alone
    training_step: float  # forward, backward and optimizers, on a batch that lies ready
    evaluation: float
    epoch_seconds: float  # 50,000 training and 10,000 test images; workers run beside the network
    run_seconds: float  # all epochs; a smaller image counts as it has fewer pixels

    def __str__(self) -> str:
        rates = {"pipeline": self.pipeline, "training step": self.training_step, "evaluation": self.evaluation}
        return "\n".join(
            (
                f"{self.recipe} on {self.machine}, batch {self.batch_size}, {self.num_workers} workers",
                *(f"{name:16}{rate:12,.0f} images/s" for name, rate in rates.items()),
                f"{'an epoch':16}{self.epoch_seconds:12,.1f} s",
                f"{'a run':16}{format_seconds(self.run_seconds):>12}",
            )
        )


def run_bench(recipe: Recipe, device: str | None = None, num_workers: int | None = None, compile: bool = True) -> Bench:
    """Measure each part at 32 pixels, on the embedded sample, whose images cost what CIFAR-100's cost."""
    training_set, held = load_split("train", "sample"), load_split("test", "sample")
    training = build(recipe, training_set, choose_device(device), num_workers, compile)
    chosen, loader = training.device, training.loader
    pipeline = measure_rate(make_inputs_forever(training), len, chosen)
    images, labels = (torch.from_numpy(part).to(chosen) for part in (training_set.images, training_set.fine))
    repeated = torch.arange(recipe.batch_size, device=chosen) % len(images)
    batch = mix(to_input(images[repeated]), labels[repeated], recipe.augmentation)
    training.network.train()
    step = measure_rate(itertools.repeat(batch), lambda batch: take_step(training, *batch), chosen)
    evaluation = measure_rate(itertools.repeat(held), lambda held: evaluate_all(training, held), chosen)
    parts = [1 / step, 1 / pipeline]
    per_image = max(parts) if loader.num_workers else sum(parts)
    pixels = statistics.mean(recipe.resolution(k / 1000) ** 2 for k in range(1000)) / 32**2  # of a step, on average
    training_seconds, evaluation_seconds = SIZES["train"] * per_image, SIZES["test"] / evaluation
    run = recipe.epochs * (training_seconds * pixels + evaluation_seconds)
    rates = (pipeline, step, evaluation, training_seconds + evaluation_seconds, run)
    return Bench(recipe.name, training.machine, loader.num_workers, recipe.batch_size, *rates)


def make_inputs_forever(training: Training) -> Iterable[torch.Tensor]:
    """Augmented inputs, epoch after epoch."""
    for epoch in itertools.count(1):
        training.augmentation.start_epoch(epoch, training.device)
        for images, _, indices in training.loader.epoch(epoch):
            yield make_inputs(training, images, indices, 32)


def take_step(training: Training, inputs: torch.Tensor, targets: torch.Tensor) -> int:
    """A training step, as in `train_one_epoch`. Returns the number of images."""
    for optimizer in training.optimizers:
        optimizer.zero_grad()
    loss, _ = training.forward(inputs, targets)
    training.scaler.scale(loss).backward()
    for optimizer in training.optimizers:
        training.scaler.step(optimizer)
    training.scaler.update()
    return len(inputs)


def evaluate_all(training: Training, held) -> int:
    evaluate(training.network, held, training.device)
    return len(held)


def measure_rate(
    items: Iterable,
    work: Callable[..., int],
    device: torch.device,
    seconds: float = SECONDS,
    warm_up: int = WARM_UP,
) -> float:
    """Images per second of `work`, which takes an item and returns its number of images, over about so many seconds
    after the first `warm_up` items, which compile and fetch memory."""
    items = iter(items)
    for item in itertools.islice(items, warm_up):
        work(item)
    synchronise(device)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += work(next(items))
    synchronise(device)
    return done / (time.perf_counter() - start)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
