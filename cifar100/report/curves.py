"""The figures of the pages: each recipe's epochs, and all recipes' accuracy."""

from collections.abc import Iterable
from pathlib import Path

from cifar100.figures.style import Picture, save_figure
from cifar100.figures.training import plot_history, plot_overview
from cifar100.report.describe import list_events
from cifar100.report.readme import OVERVIEW, group_by_recipe, list_accuracies
from cifar100.report.reported import REPORTED, list_levels
from cifar100.runs.run import Run

CURVES = "curves.png"  # in the folder of a recipe


def save_curves(runs: Iterable[Run], root: Path) -> list[Path]:
    """Draw each recipe's epochs, beside the folder of its first run, and the accuracy of all.
    runs: as they are published. Returns the files."""
    figures, runs = {}, list(runs)
    for run in {run.recipe.name: run for run in reversed(runs)}.values():
        name, seed = run.recipe.name, run.recipe.seed
        title = f"{name}, seed {seed}: {run.history[-1].eval_accuracy:.2%} after {len(run.history)} epochs"
        figure = plot_history(run.history, title, list_events(run.recipe), list_levels(name))
        figures[run.folder.parent / CURVES] = figure
    if overview := draw_overview(group_by_recipe(runs)):
        figures[root / OVERVIEW] = overview
    for path, figure in figures.items():
        save_figure(figure, path)
    return list(figures)


def draw_overview(groups: dict[str, list[Run]]) -> Picture | None:
    """The accuracy of the recipes, and what their reports measured; None if there are none. groups: as
    `readme.group_by_recipe` gives them."""
    reported = {name: REPORTED[name].best for name in groups if name in REPORTED and REPORTED[name].measured}
    accuracies = {name: list_accuracies(runs) for name, runs in groups.items()}
    return plot_overview(accuracies, reported) if groups else None
