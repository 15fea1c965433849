"""Measure how fast a recipe's parts run on this machine."""

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from cifar100.dataset.augment_batch import mix
from cifar100.dataset.augment_image import to_input
from cifar100.dataset.cifar import COARSE_OF_FINE, SIZES, Images, load_split
from cifar100.device import choose_device, describe_hardware
from cifar100.evaluation.logits import predict_logits
from cifar100.recipe import Recipe
from cifar100.runs.history import format_seconds
from cifar100.training.trainer import Trainer, advise_on_memory, make_inputs, make_trainer, train_step


@dataclass(frozen=True)
class Bench:
    """Images per second of a recipe's parts, and the seconds of an epoch on CIFAR-100 that follow."""

    recipe: str
    hardware: str
    precision: str
    num_workers: int
    batch_size: int
    pipeline: float  # loading and augmentation alone
    training_step: float  # forward, backward and optimizers, on batches that lie ready
    evaluation: float
    epoch_seconds: float  # 50,000 training and 10,000 test images; workers run beside the network
    run_seconds: float  # all epochs; a smaller picture counts as it has fewer pixels

    def to_dict(self) -> dict:
        return asdict(self)


def run_bench(
    recipe: Recipe,
    device: str | None = None,
    num_workers: int | None = None,
    compile: str = "auto",
    precision: str = "auto",
    seconds: float = 5.0,
    warm_up: int = 5,
) -> Bench:
    """Measure each part for about `seconds` after `warm_up` batches, which compile and fetch memory, at 32 pixels,
    on the embedded sample, whose images cost what CIFAR-100's cost."""
    chosen = choose_device(device)
    training, held = load_split("train", "sample"), load_split("test", "sample")

    def rate(items: Iterable, work: Callable[..., int]) -> float:
        return measure_rate(items, work, chosen, seconds, warm_up)

    trainer = make_trainer(recipe, training, chosen, num_workers, precision)
    trainer.loss_step.compile(compile, say=lambda text: print(text, file=sys.stderr))
    trainer.choose_products()
    trainer.network.train()
    pipeline = rate(each_input(trainer), lambda inputs: len(inputs))
    batches = list(itertools.islice(whole_batches(trainer), 4))
    with advise_on_memory(recipe):
        step = rate(itertools.cycle(batches), lambda batch: (train_step(trainer, *batch), recipe.batch_size)[1])
    images = torch.from_numpy(held.images).to(chosen)
    evaluation = rate(itertools.cycle(images.split(500)), lambda part: len(predict_logits(trainer.result, part)))
    parts = [1 / step, 1 / pipeline]
    per_image = max(parts) if trainer.loader.num_workers else sum(parts)
    training_seconds, evaluation_seconds = SIZES["train"] * per_image, SIZES["test"] / evaluation
    pixels = statistics.mean(recipe.resolution(k / 1000) ** 2 for k in range(1000)) / 32**2  # of a step, on average
    epoch = training_seconds + evaluation_seconds
    run = recipe.epochs * (training_seconds * pixels + evaluation_seconds)
    figures = (pipeline, step, evaluation, epoch, run)
    loader = trainer.loader
    return Bench(
        recipe.name, describe_hardware(chosen), trainer.precision, loader.num_workers, loader.batch_size, *figures
    )


def each_input(trainer: Trainer) -> Iterable[torch.Tensor]:
    """Augmented inputs, epoch after epoch."""
    for epoch in itertools.count(1):
        trainer.augmentation.start_epoch(epoch, trainer.device)
        for images, _, indices in trainer.loader.epoch(epoch):
            yield make_inputs(trainer, images, indices, 32)


def whole_batches(trainer: Trainer) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and targets of the recipe's own batch size, mixed as the recipe says; with repeats
    where the sample is smaller than a batch."""
    images, labels = trainer.loader.dataset.images, trainer.loader.dataset.labels
    while True:
        indices = torch.randint(len(images), (trainer.recipe.batch_size,), device=images.device)
        inputs = to_input(images[indices].to(trainer.device))
        yield mix(inputs, labels[indices].to(trainer.device), trainer.recipe.augmentation)


def measure_rate(
    items: Iterable, work: Callable[..., int], device: torch.device, seconds: float, warm_up: int
) -> float:
    """Images per second of `work`, which takes an item and returns its number of images; the first `warm_up` items
    are not timed."""
    done, start, items = 0, 0.0, iter(items)
    for number in itertools.count():
        if number == warm_up:
            synchronise(device)
            start = time.perf_counter()
        images = work(next(items))
        if number >= warm_up:
            done += images
            if time.perf_counter() - start > seconds:
                break
    synchronise(device)
    return done / (time.perf_counter() - start)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def draw_noise(count: int = SIZES["train"]) -> Images:
    """Random pixels and labels, which cost what CIFAR-100's cost; by default as many as there are to train on."""
    generator = np.random.default_rng(0)
    fine = generator.integers(0, len(COARSE_OF_FINE), count)
    return Images(generator.integers(0, 256, (count, 32, 32, 3), np.uint8), fine, COARSE_OF_FINE[fine])


def format_bench(bench: Bench) -> str:
    """A table for the screen."""
    return "\n".join(
        (
            f"{bench.recipe} on {bench.hardware}, {bench.precision}, batch {bench.batch_size}, {bench.num_workers} "
            "workers",
            f"{'pipeline':16}{bench.pipeline:12,.0f} images/s",
            f"{'training step':16}{bench.training_step:12,.0f} images/s",
            f"{'evaluation':16}{bench.evaluation:12,.0f} images/s",
            f"{'an epoch':16}{bench.epoch_seconds:12,.1f} s",
            f"{'a run':16}{format_seconds(bench.run_seconds):>12}",
        )
    )
