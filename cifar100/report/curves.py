"""The figures of the pages: each recipe's epochs, and all recipes' accuracy."""

from collections.abc import Iterable
from pathlib import Path

from cifar100.figures.style import Picture, save_figure
from cifar100.figures.training import plot_history, plot_overview
from cifar100.report.describe import list_events
from cifar100.report.readme import CURVES, list_accuracies
from cifar100.report.reported import REPORTED, list_levels
from cifar100.runs.run import Run


def save_curves(runs: Iterable[Run]) -> list[Path]:
    """Draw the epochs of each recipe's first run, beside its folder. Returns the files."""
    paths = []
    for run in {run.recipe.name: run for run in reversed(list(runs))}.values():
        name = run.recipe.name
        title = f"{name}, seed {run.recipe.seed}: {run.history[-1].eval_accuracy:.2%} after {len(run.history)} epochs"
        paths.append(run.folder.parent / CURVES)
        save_figure(plot_history(run.history, title, list_events(run.recipe), list_levels(name)), paths[-1])
    return paths


def draw_overview(groups: dict[str, list[Run]]) -> Picture | None:
    """The accuracy of the recipes, and what their reports measured; None if there are none. groups: as
    `published.group_by_recipe` gives them."""
    reported = {name: REPORTED[name].best for name in groups if name in REPORTED}
    return plot_overview({name: list_accuracies(runs) for name, runs in groups.items()}, reported) if groups else None
