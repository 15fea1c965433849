"""Format the settings of a recipe and the results of its runs."""

import statistics
from dataclasses import asdict, fields

from cifar100.recipe import Augmentation, Recipe
from cifar100.runs.history import format_seconds
from cifar100.runs.run import Run


def describe_recipe(recipe: Recipe) -> str:
    """The settings in one line, without those at their default but the optimizer's."""
    settings = {k: v for k, v in asdict(recipe).items() if k not in ("name", "seed")}
    settings |= settings.pop("augmentation")
    if not recipe.milestones:
        del settings["gamma"]
    nothing = {field.name: field.default for field in fields(Recipe)} | asdict(Augmentation())
    kept = {k: v for k, v in settings.items() if v != nothing[k] or k in ("momentum", "weight_decay", "gamma")}
    return ", ".join(f"{k.replace('_', ' ')} {show(v)}" for k, v in kept.items())


def show(value) -> str:
    """Format the value of a setting."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(show, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def list_accuracies(runs: list[Run]) -> list[float]:
    """The test accuracies after the last epoch, 0..1."""
    return [run.metrics["final"]["test_accuracy"] for run in runs]


def format_mean(runs: list[Run]) -> str:
    """The mean accuracy, and for several seeds the standard deviation."""
    values = list_accuracies(runs)
    spread = f" ± {statistics.stdev(values) * 100:.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2%}{spread}"


def format_accuracy(runs: list[Run]) -> str:
    """The mean accuracy, and for several seeds the standard deviation and their number."""
    return format_mean(runs) + (f" ({len(runs)} seeds)" if len(runs) > 1 else "")


def format_times(runs: list[Run]) -> str:
    """The time of a run on a GPU and on a CPU; a range if the runs differ by more than 10%."""
    seconds = {"GPU": [], "CPU": []}
    for run in runs:
        seconds["CPU" if "cpu" in run.metrics["hardware"].split(", ") else "GPU"].append(run.metrics["seconds"])
    return "; ".join(f"{format_range(times)} on a {kind}" for kind, times in seconds.items() if times)


def format_range(seconds: list[float]) -> str:
    bounds = [statistics.mean(seconds)] if max(seconds) < 1.1 * min(seconds) else [min(seconds), max(seconds)]
    return " to ".join(format_seconds(value).replace(" ", "\u00a0") for value in bounds)  # no line break within it
