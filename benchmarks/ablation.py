"""What each measure for speed brings: the recipe's training step with one of them taken away, or one more tried."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from cifar100.dataset.cifar import load_split
from cifar100.device import choose_device, describe_machine
from cifar100.errors import UserError
from cifar100.recipe import Recipe
from cifar100.recipes import RECIPES, find_recipe
from cifar100.training import trainer as training
from cifar100.training.optimizers import Muon
from cifar100.training.speed import synchronise
from cifar100.training.trainer import Trainer, make_inputs, make_trainer, train_step

STEPS = 5  # that are timed, after two
TIMEOUT_SECONDS = 900  # of one variant; a compiler may take minutes


def contiguous(trainer: Trainer) -> None:
    """The layout that torch has where nobody asks for another: a plane a channel."""
    trainer.network.to(memory_format=torch.contiguous_format)
    training.make_inputs = lambda *batch: make_inputs(*batch).contiguous()


def muon_in_float32(trainer: Trainer) -> None:
    for optimizer in trainer.optimizers:
        if isinstance(optimizer, Muon):
            optimizer.dtype = torch.float32


def compiled(trainer: Trainer) -> None:
    """Raises UserError where the compiler does not work: the eager step would be measured instead."""

    def refuse(text: str) -> None:
        if "the plain one serves" in text:
            raise UserError(text)

    trainer.loss_step.compile("inductor", refuse)


@dataclass(frozen=True)
class Variant:
    """One way to take the training step."""

    name: str
    change: Callable[[Trainer], None] = lambda trainer: None
    precision: str = "auto"
    keep_memory: bool = True
    products: bool = True  # see small_convolution.py
    environment: tuple[tuple[str, str], ...] = ()  # for the process, before torch is loaded


VARIANTS = {
    "plain": Variant("as it trains"),
    "float32": Variant("float32 in place of the processor's fast precision", precision="float32"),
    "onednn": Variant(
        "float32, oneDNN told to multiply in bfloat16",
        precision="float32",
        environment=(("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),),
    ),
    "convolutions": Variant("every convolution as the library computes it", products=False),
    "muon": Variant("Muon in float32", muon_in_float32),
    "nchw": Variant("channels first in memory", contiguous),
    "memory": Variant("freed memory handed back to the kernel", keep_memory=False),
    "pages": Variant("huge pages", environment=(("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),)),
    "compiled": Variant("compiled by inductor", compiled),
}


def measure_step(recipe: Recipe, variant: Variant, pixels: int, device: str | None, steps: int = STEPS) -> float:
    """Median seconds of one training step, in this process, on the embedded sample."""
    chosen = choose_device(device)
    if not variant.keep_memory:
        training.keep_freed_memory = lambda: None
    trainer = make_trainer(recipe, load_split("train", "sample"), chosen, precision=variant.precision)
    variant.change(trainer)
    if variant.products:
        trainer.choose_products()
    trainer.network.train()
    trainer.augmentation.start_epoch(1, chosen)
    images, labels, indices = next(trainer.loader.epoch(1))
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        train_step(trainer, training.make_inputs(trainer, images, indices, pixels), labels)
        synchronise(chosen)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def run_ablation(recipe: Recipe, device: str | None = None, say: Callable[[str], None] = print) -> dict:
    """The step of every variant at 32 pixels, and of the first at each size of the recipe, each in a process of its
    own, for some of them hold for a whole process. As JSON: seconds a step, or None where a variant does not run here.
    """
    seconds, sizes = {}, {}
    for key, variant in VARIANTS.items():
        seconds[variant.name] = run_worker(recipe, key, 32, device)
        say(f"{variant.name}: " + (f"{seconds[variant.name]:.2f} s" if seconds[variant.name] else "does not run here"))
    for pixels in sorted({pixels for _, pixels in recipe.resolutions}):
        sizes[str(pixels)] = run_worker(recipe, "plain", pixels, device)
    return {
        "recipe": recipe.name,
        "batch_size": recipe.batch_size,
        **describe_machine(choose_device(device)),
        "seconds": seconds,
        "sizes": sizes | {"32": seconds[VARIANTS["plain"].name]},
    }


def run_worker(recipe: Recipe, variant: str, pixels: int, device: str | None) -> float | None:
    """Seconds a step, measured by a new process; None if it fails or takes too long."""
    command = [sys.executable, "-m", "benchmarks.ablation", recipe.name, variant, str(pixels)]
    command += [f"--batch-size={recipe.batch_size}"] + ([f"--device={device}"] if device else [])
    environment = os.environ | dict(VARIANTS[variant].environment)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return None


def format_ablation(figures: dict) -> str:
    """A table for the screen."""
    first = next(iter(figures["seconds"].values()))
    lines = [f"{figures['recipe']} on {figures['hardware']}, seconds a step of {figures['batch_size']:,} images"]
    for name, value in figures["seconds"].items():
        lines.append(f"{name:52}" + (f"{value:6.2f}{value / first:6.2f} times" if value else "  does not run here"))
    lines += [f"as it trains, {pixels} px{value:34.2f}" for pixels, value in figures["sizes"].items() if value]
    return "\n".join(lines)


def render_ablation(figures: dict) -> str:
    """A Markdown table from what `run_ablation` returns."""
    seconds = figures["seconds"]
    first, *others = seconds.items()
    lines = [
        f"A step of `{figures['recipe']}`, {figures['batch_size']:,} images of 32x32 pixels, on {figures['hardware']}, "
        f"PyTorch {figures['torch']}:",
        "",
        "| the step | seconds | images/s | times the first |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, value in (first, *others):
        speed = (
            f"{value:.2f} | {figures['batch_size'] / value:.0f} | {value / first[1]:.2f}"
            if value
            else "does not run here | - | -"
        )
        lines.append(f"| {name} | {speed} |")
    sizes = ", ".join(f"{value:.2f} s at {pixels}" for pixels, value in figures["sizes"].items() if value)
    return "\n".join(lines) + f"\n\nBy the pictures' side in pixels: {sizes}.\n"


if __name__ == "__main__":  # a worker: prints the seconds of a step
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("pixels", type=int)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--device")
    asked = parser.parse_args()
    chosen_recipe = replace(find_recipe(asked.recipe), batch_size=asked.batch_size)
    print(json.dumps(measure_step(chosen_recipe, VARIANTS[asked.variant], asked.pixels, asked.device)))
