"""Measure how an epoch's time and the peak of memory grow with the images and with the batch.

An epoch is its training steps, augmentation included; evaluation and checkpoints are left out. Every point has a
process of its own, whose memory nothing else has used, and trains on random pictures of CIFAR-100's size.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from benchmarks.processes import run_in, start_process
from cifar100.device import choose_device, describe_machine
from cifar100.errors import UserError
from cifar100.parallel.cuda_graph import choose_step
from cifar100.recipe import Recipe
from cifar100.training.fitting import say_what_fits
from cifar100.training.speed import draw_noise, synchronise, whole_batches
from cifar100.training.trainer import make_trainer, train_one_epoch

IMAGES = (5_000, 10_000, 25_000, 50_000)
BATCHES = (64, 128, 256, 512, 1024)
TIMED = 10_000  # images of an epoch that are timed for each batch size
WARM_UP = 3  # steps that are not timed


@dataclass(frozen=True)
class Point:
    """What an epoch costs."""

    images: int
    batch_size: int
    timed_images: int  # where they are fewer than the images, the seconds are in proportion
    seconds: float
    images_per_second: float
    peak_megabytes: float  # of the process; on a GPU, of its tensors
    precision: str


def measure_growth(
    recipe: Recipe,
    device: str | None = None,
    num_workers: int | None = None,
    compile: str = "auto",
    precision: str = "auto",
    images: tuple[int, ...] = IMAGES,
    batches: tuple[int, ...] = BATCHES,
    timed: int = TIMED,
    say: Callable[[str], None] = print,
) -> dict:
    """All figures of a recipe, as JSON holds them: whole epochs of so many `images` with the recipe's batch, and of
    the largest number of them with each of `batches`, from `timed` images. Raises UserError for what is not there,
    and if a GPU is too small for a batch."""
    chosen = choose_device(device)
    how = (chosen, num_workers, compile, precision)
    told: list[str] = []  # of the steps; every point's trainer says the same

    def measure(count: int, batch_size: int, share: float) -> Point:
        """From that share of an epoch."""
        milestones = tuple(milestone * share / recipe.epochs for milestone in recipe.milestones)
        changed = replace(recipe, batch_size=batch_size, epochs=share, milestones=milestones)
        with start_process() as process:
            point, said = run_in(process, measure_point, changed, count, *how)
        news = [text for text in said if text not in told]
        told.extend(news)
        for text in (*news, describe_point(point)):
            say(text)
        return point

    by_images = [measure(count, recipe.batch_size, 1.0) for count in images]
    by_batch = [measure(max(images), batch_size, min(1.0, timed / max(images))) for batch_size in batches]
    return {
        "recipe": recipe.name,
        "network": recipe.network,
        **describe_machine(chosen),
        "precision": by_images[0].precision,
        "batch_size": recipe.batch_size,
        "exponent": fit_exponent([p.images for p in by_images], [p.seconds for p in by_images]),
        "images": [asdict(point) for point in by_images],
        "batches": [asdict(point) for point in by_batch],
    }


def measure_point(
    recipe: Recipe, count: int, device: torch.device, num_workers: int | None, compile: str, precision: str
) -> tuple[Point, list[str]]:
    """In its own process: train all epochs of the recipe, one at most, on `count` images, after steps that are not
    timed. Returns also what the trainer said of its steps."""
    said: list[str] = []
    trainer = make_trainer(recipe, draw_noise(count), device, num_workers, precision)
    choose_step(trainer, compile, said.append)
    with say_what_fits(trainer):
        trainer.network.train()
        for _, batch in zip(range(WARM_UP), whole_batches(trainer)):
            trainer.loss_step(*batch, trainer.scaler)  # a whole step would move the schedule
        synchronise(device)
        start = time.perf_counter()
        train_one_epoch(trainer, 1)
        synchronise(device)
        seconds = time.perf_counter() - start
    timed = trainer.images_seen()
    figures = (timed, seconds * count / timed, timed / seconds, peak_memory(device) / 1e6, trainer.precision)
    return Point(count, recipe.batch_size, *figures), said


def peak_memory(device: torch.device) -> int:
    """Bytes that this process has had at most: of a GPU's memory, or else of the machine's. Linux counts what the
    parent had at the start, too, which is less than what a training takes. Raises UserError on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError as error:
        raise UserError(
            "Windows does not tell a process's peak of memory: measure on Linux, macOS or a GPU."
        ) from error
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fit_exponent(sizes: list[int], values: list[float]) -> float:
    """The power of the size to which the values grow: the slope of a line through both logarithms, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def describe_point(point: Point) -> str:
    """A line for the screen."""
    mark = "" if point.timed_images == point.images else f", from {point.timed_images:,} images"
    return (
        f"{point.images:>7,} images, batch {point.batch_size:>5,}: {point.seconds:7.1f} s an epoch "
        f"({point.images_per_second:,.0f} images/s{mark}), {point.peak_megabytes:,.0f} MB"
    )


def render_growth(figures: dict) -> str:
    """The figure, and below it what it says."""
    conditions = f"`{figures['recipe']}` on {figures['hardware']}, {figures['precision']}"
    return f"![{describe_growth(figures)}](../output/bench/growth.png)\n\n{conditions}: {describe_growth(figures)}.\n"


def describe_growth(figures: dict) -> str:
    """What the points say, in a sentence."""
    first, last = figures["batches"][0], figures["batches"][-1]
    times, memory, speed = (last[k] / first[k] for k in ("batch_size", "peak_megabytes", "images_per_second"))
    return (
        f"Time grows as images^{figures['exponent']:.2f}; {times:.0f} times the batch: {memory:.1f} times the memory, "
        f"{speed:.2f} times the speed"
    )
