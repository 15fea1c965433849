"""Our training step, evaluation and input pipeline compared with the baseline of `plain`."""

import sys
from typing import NamedTuple

import torch

from benchmarks import ours, plain
from benchmarks.processes import Sides
from cifar100.dataset.loader import count_cores
from cifar100.device import choose_device, choose_precision, current_commit, describe_hardware, name_precision
from cifar100.recipe import Recipe
from cifar100.recipes import RECIPES

COMPARED = ("resnet56_multistep", "resnet18_warmup_cosine")
PIPELINE = "resnet18_warmup_cosine"  # crop, flip and cutout
EVALUATION_BATCH = 500
SIDES = ("plain", "plain, workers", "ours", "ours, float32")


class Row(NamedTuple):
    """A row of the table, in images/s."""

    part: str
    plain: float  # the faster one, if there are two
    ours: float


def measure_peers(
    device: str | None = None,
    compile: bool = True,
    precision: str = "auto",
    rounds: int = 5,
    seconds: float = 1.5,
) -> dict:
    """The rows and the machine. Each rate is the median of `rounds` measurements of about `seconds`. Raises UserError
    for an unsupported device or precision."""
    chosen = choose_device(device)
    precision = name_precision(choose_precision(chosen, precision))
    rows: list[Row] = []
    with Sides(SIDES, chosen, rounds, seconds) as sides:
        for recipe in (RECIPES[name] for name in COMPARED):
            say(f"{recipe.network}, training step and evaluation ...")
            rows += compare_network(sides, recipe, compile, precision)
        say("The pipeline ...")
        rows.append(compare_pipeline(sides, RECIPES[PIPELINE]))
    machine = {"hardware": describe_hardware(chosen), "torch": torch.__version__, "commit": current_commit()}
    return {"rows": rows, "rounds": rounds, **machine}


def say(text: str) -> None:
    """Print to stderr, which is not redirected with the output."""
    print(text, file=sys.stderr, flush=True)


def compare_network(sides: Sides, recipe: Recipe, compile: bool, precision: str) -> list[Row]:
    """Compare the training step, in the given precision and in float32, and the evaluation of a network."""
    kinds = {"ours": precision} | ({"ours, float32": "float32"} if precision != "float32" else {})
    steps = {side: (ours.training_steps, recipe, sides.device, compile, kind) for side, kind in kinds.items()}
    trained = sides.alternate({"plain": (plain.training_steps, recipe, sides.device)} | steps)
    evaluated = sides.alternate(
        {
            "plain": (plain.evaluations, recipe, sides.device, EVALUATION_BATCH),
            "ours": (ours.evaluations, recipe, sides.device, EVALUATION_BATCH),
        }
    )
    return [
        *(Row(f"{recipe.network}, training step, {kinds[side]}", trained["plain"], trained[side]) for side in kinds),
        Row(f"{recipe.network}, evaluation, float32", evaluated["plain"], evaluated["ours"]),
    ]


def compare_pipeline(sides: Sides, recipe: Recipe) -> Row:
    """Compare the augmentation with a DataLoader without workers and with one worker per core."""
    rates = sides.alternate(
        {
            "plain, workers": (plain.augmented_batches, recipe, sides.device, count_cores()),
            "plain": (plain.augmented_batches, recipe, sides.device, 0),
            "ours": (ours.augmented_batches, recipe, sides.device),
        }
    )
    return Row("augmentation", max(rates["plain"], rates["plain, workers"]), rates["ours"])


def format_rate(rate: float) -> str:
    """Three significant digits."""
    return f"{float(f'{rate:.3g}'):,.0f}" if rate >= 100 else f"{rate:.3g}"


def format_table(figures: dict) -> str:
    """The rows and the machine in Markdown, for docs/speed.md."""
    lines = ["| | baseline, images/s | ours, images/s | ratio |", "| --- | ---: | ---: | ---: |"]
    for row in figures["rows"]:
        ratio = row.ours / row.plain
        lines.append(f"| {row.part} | {format_rate(row.plain)} | {format_rate(row.ours)} | **{ratio:.1f}** |")
    conditions = (
        f"On {figures['hardware']}, PyTorch {figures['torch']}, commit {figures['commit']}, medians of "
        f"{figures['rounds']} rounds."
    )
    return "\n".join([*lines, "", conditions])
