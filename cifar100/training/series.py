"""Train several runs one after the other, within a time."""

import math
import time
from collections.abc import Callable

from cifar100.dataset.cifar import is_sample
from cifar100.errors import UserError
from cifar100.parallel.group import ALONE, Group
from cifar100.recipe import Recipe
from cifar100.runs.find import run_folder
from cifar100.runs.history import format_record
from cifar100.runs.run import holds_another, is_finished
from cifar100.training.fit import fit
from cifar100.training.progress import OutOfTime, Progress, keep_in_step


def train_all(
    recipes: list[Recipe],
    minutes: float | None = None,
    skip_finished: bool = False,
    say: Callable[[str], None] = print,
    group: Group = ALONE,
    **options,
) -> None:
    """Train the recipes in their order; options are those of `fit`.

    With skip_finished, runs that are finished are left alone, and those that were cut off are
    continued. Stops within `minutes`, after an epoch or at the loss of one that would not have
    ended in time; the next call goes on from there. Raises UserError, after the others have been
    trained, if a recipe could not be; at once where several processes train together, since the
    others may not know of it; and before all, if the minutes are no length of time.
    """
    deadline = group.each(lambda: find_deadline(minutes))
    failures = []
    for recipe in recipes:
        try:
            train_next(recipe, deadline, skip_finished, say, group, options)
        except OutOfTime:
            say(f"The {minutes:g} minutes are over: what {recipe.name}, seed {recipe.seed}, has finished is kept.")
            break
        except UserError as error:
            if group.size > 1:
                raise
            failures.append(str(error))
            if len(recipes) > 1:
                say(f"Not trained: {error}")
    if failures:
        raise UserError(
            failures[0] if len(recipes) == 1 else f"{len(failures)} of {len(recipes)} runs were not trained."
        )


def find_deadline(minutes: float | None) -> float:
    """When they will be over, on time.monotonic's clock. Raises UserError if they are no length of time."""
    if minutes is not None and not 0 < minutes < math.inf:
        raise UserError(f"The minutes must be a finite number above 0, not {minutes}.")
    return time.monotonic() + 60 * minutes if minutes else math.inf


def train_next(
    recipe: Recipe, deadline: float, skip_finished: bool, say: Callable[[str], None], group: Group, options: dict
) -> None:
    """Train one recipe, or pass it over. Raises OutOfTime, and what `fit` raises."""
    folder = run_folder(recipe, options["output"], is_sample(options.get("data")), options.get("holdout", False))
    say(f"{recipe.name}, seed {recipe.seed}: {folder}")
    if skip_finished and group.first(lambda: is_finished(folder, recipe)):
        say("finished already")
        return
    if group.first(lambda: holds_another(folder, recipe)):
        say("A finished run with other settings lies there; this one takes its place when it has finished.")
    resume = options.get("resume", False) or skip_finished
    progress = keep_in_step(Progress(recipe, deadline, say), group)
    for record in fit(recipe, progress=progress, say=say, group=group, **options | {"resume": resume}):
        say(format_record(record, math.ceil(recipe.epochs)))
    say(f"Finished: {folder}")
