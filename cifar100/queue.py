"""Train several runs one after the other, within a time."""

import math
import time
from collections.abc import Callable, Iterator

from cifar100 import runs
from cifar100.data import is_sample
from cifar100.progress import OutOfTime, Progress, format_record, format_seconds
from cifar100.recipe import RECIPES, Recipe, find_recipe


def list_all(seeds: list[int], **changes) -> Iterator[Recipe]:
    """Every recipe that is published, the reports' first; all recipes with one seed, then with the next."""
    for seed in seeds:
        yield from (find_recipe(name, **changes | {"seed": seed}) for name in RECIPES if name != "smoke")


def train_all(
    recipes: list[Recipe], minutes: float | None = None, skip_finished: bool = False, say: Callable = print, **options
) -> None:
    """Train the recipes in their order; options are those of `fit`.

    With skip_finished, runs that are finished are left alone, and those that were cut off are
    continued. Stops within `minutes`, after an epoch or at the loss of one that would not have
    ended in time; the next call goes on from there.
    """
    from cifar100.train import fit

    deadline = time.monotonic() + 60 * minutes if minutes else math.inf
    for number, recipe in enumerate(recipes, start=1):
        name = f"{recipe.name}, seed {recipe.seed}"
        folder = runs.run_folder(
            recipe, options["output"], is_sample(options.get("data")), options.get("holdout", False)
        )
        if skip_finished and runs.is_finished(folder, recipe):
            say(f"{name}: finished already, in {folder}")
            continue
        if len(recipes) > 1:
            say(f"{name} ({number} of {len(recipes)})")
        if runs.holds_another(folder, recipe):
            say(f"{folder} holds a finished run with other settings; this one takes its place when it has finished.")
        resume = options.get("resume", False) or skip_finished
        try:
            for record in fit(recipe, progress=Progress(recipe, deadline), say=say, **options | {"resume": resume}):
                say(format_record(record, math.ceil(recipe.epochs)))
        except OutOfTime:
            say(f"The time of {format_seconds(60 * minutes)} is over: the finished epochs of {name} are kept.")
            return
        say(f"Finished: {folder}")
