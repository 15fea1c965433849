"""How fast a recipe trains on this machine, and so how long a run takes."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterable

import torch

from cifar100.dataset.augment_batch import mix
from cifar100.dataset.augment_image import to_input
from cifar100.dataset.cifar import SIZES, load_split
from cifar100.device import choose_device
from cifar100.evaluation.logits import predict_logits
from cifar100.recipe import Recipe
from cifar100.runs.history import format_seconds
from cifar100.train import Training, build, make_inputs

SECONDS, WARM_UP = 5.0, 5  # of each measurement; untimed batches before it


def run_bench(
    recipe: Recipe,
    device: str | None = None,
    num_workers: int | None = None,
    compile: bool = True,
) -> str:
    """Images per second of the input pipeline, the training step and the evaluation at 32x32 pixels, and the estimated
    time of an epoch and of a run. It uses the embedded sample, whose images take as long as CIFAR-100's."""
    training_set = load_split("train", "sample")
    training = build(recipe, training_set, choose_device(device), num_workers, compile)
    chosen, loader = training.device, training.loader
    images, labels = (torch.from_numpy(part).to(chosen) for part in (training_set.images, training_set.fine))
    batch = mix(to_input(images[: recipe.batch_size]), labels[: recipe.batch_size], recipe.augmentation)
    training.network.train()
    works = {
        "pipeline": (make_inputs_forever(training), len),
        "training step": (itertools.repeat(batch), lambda batch: take_step(training, *batch)),
        "evaluation": (itertools.cycle(images.split(500)), lambda part: len(predict_logits(training.network, part))),
    }
    rates = {name: measure_rate(*work, chosen, SECONDS) for name, work in works.items()}
    parts = [1 / rates["training step"], 1 / rates["pipeline"]]
    per_image = max(parts) if loader.num_workers else sum(parts)  # workers run in parallel
    training_seconds, evaluation_seconds = SIZES["train"] * per_image, SIZES["test"] / rates["evaluation"]
    # The time of a step is proportional to the number of pixels.
    pixels = statistics.mean(recipe.resolution(k / 1000) ** 2 for k in range(1000)) / 32**2
    run_seconds = recipe.epochs * (training_seconds * pixels + evaluation_seconds)
    return "\n".join(
        (
            f"{recipe.name} on {training.hardware}, batch {recipe.batch_size}, {loader.num_workers} workers",
            *(f"{name:16}{rate:12,.0f} images/s" for name, rate in rates.items()),
            f"{'an epoch':16}{training_seconds + evaluation_seconds:12,.1f} s",
            f"{'a run':16}{format_seconds(run_seconds):>12}",
        )
    )


def make_inputs_forever(training: Training) -> Iterable[torch.Tensor]:
    """Augmented inputs, epoch after epoch."""
    for epoch in itertools.count(1):
        training.augmentation.start_epoch(epoch, training.device)
        for images, _, indices in training.loader.epoch(epoch):
            yield make_inputs(training, images, indices, 32)


def take_step(training: Training, inputs: torch.Tensor, targets: torch.Tensor) -> int:
    """One training step, as in `train_one_epoch`. Returns the number of images."""
    for optimizer in training.optimizers:
        optimizer.zero_grad()
    loss, _ = training.compute_loss(inputs, targets)
    training.scaler.scale(loss).backward()
    for optimizer in training.optimizers:
        training.scaler.step(optimizer)
    training.scaler.update()
    return len(inputs)


def measure_rate(
    items: Iterable, work: Callable[..., int], device: torch.device, seconds: float, warm_up: int = WARM_UP
) -> float:
    """Images per second of `work`, which takes an item and returns its number of images. items: without end. The first
    `warm_up` of them, in which memory is allocated and code compiled, are not timed."""
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
    """Wait until the device has finished its work."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
