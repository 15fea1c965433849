"""A recipe's settings, and what its runs have reached, in words."""

import statistics
from dataclasses import asdict, fields

from cifar100.recipe import Augmentation, Recipe
from cifar100.runs.history import format_seconds
from cifar100.runs.run import Run


def describe_recipe(recipe: Recipe) -> str:
    """In a line, the settings that are necessary and those that differ from doing nothing."""
    settings = {k: v for k, v in asdict(recipe).items() if k not in ("name", "seed")}
    settings |= settings.pop("augmentation")
    if not recipe.milestones:
        del settings["gamma"]
    nothing = {field.name: field.default for field in fields(Recipe)} | asdict(Augmentation())
    return ", ".join(f"{k.replace('_', ' ')} {show(v)}" for k, v in settings.items() if v != nothing[k])


def show(value) -> str:
    """A setting, without needless digits."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(show, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def list_events(recipe: Recipe) -> dict[float, str]:
    """After which epochs the recipe changes its rate by a step, or the images' size, and to what."""
    rates = {m: f"rate {recipe.lr * recipe.gamma**k:.2g}" for k, m in enumerate(recipe.milestones, start=1)}
    sides = [*(pixels for _, pixels in recipe.resolutions[1:]), 32]
    return rates | {until * recipe.epochs: f"{side} px" for (until, _), side in zip(recipe.resolutions, sides)}


def list_accuracies(runs: list[Run], which: str = "final") -> list[float]:
    """On the test set, 0..1, after the last epoch or the "best"."""
    return [run.metrics[which]["test_accuracy"] for run in runs]


def format_accuracy(runs: list[Run], which: str = "final") -> str:
    """Mean, and with several seeds their standard deviation and number."""
    values = list_accuracies(runs, which)
    mean = f"{statistics.mean(values):.2%}"
    return f"{mean} ± {statistics.stdev(values) * 100:.2f} ({len(values)} seeds)" if len(values) > 1 else mean


def format_times(runs: list[Run]) -> str:
    """The time of a run on a GPU and on a CPU: the shortest and the longest if they differ by a tenth or more."""
    seconds = {"GPU": [], "CPU": []}
    for run in runs:
        seconds["CPU" if "cpu" in run.metrics["hardware"].split(", ") else "GPU"].append(run.metrics["seconds"])
    return "; ".join(f"{format_range(times)} on a {kind}" for kind, times in seconds.items() if times)


def format_range(seconds: list[float]) -> str:
    bounds = [statistics.mean(seconds)] if max(seconds) < 1.1 * min(seconds) else [min(seconds), max(seconds)]
    return " to ".join(format_seconds(value).replace(" ", "\u00a0") for value in bounds)  # not broken within
