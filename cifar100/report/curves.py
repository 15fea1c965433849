"""The figures of the pages: each recipe's epochs, and all recipes' accuracy over what their training computes."""

import functools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from cifar100.dataset.cifar import SIZES
from cifar100.explain.receptive_field import count_multiply_adds
from cifar100.figures.style import Picture, save_figure
from cifar100.figures.training import plot_accuracy_over_computation, plot_history
from cifar100.recipe import Recipe
from cifar100.report.describe import list_events
from cifar100.report.readme import OVERVIEW
from cifar100.report.reported import REPORTED
from cifar100.runs.run import Run
from model import NETWORKS

CURVES = "curves.png"  # in the folder of a recipe


def save_curves(runs: Iterable[Run], root: Path) -> list[Path]:
    """Draw the epochs of the runs, each beside its folder, and their accuracy over what they computed. runs: one a
    recipe. Returns the files."""
    figures, runs = {}, list(runs)
    for run in runs:
        reported = REPORTED.get(run.recipe.name)
        title = f"{run.recipe.name}: {run.history[-1].eval_accuracy:.2%} after {len(run.history)} epochs"
        events, best = list_events(run.recipe), reported.best if reported else None
        figures[run.folder.parent / CURVES] = plot_history(run.history, title, events, best)
    if overview := draw_over_computation(runs):
        figures[root / OVERVIEW] = overview
    for path, figure in figures.items():
        save_figure(figure, path)
    return list(figures)


def draw_over_computation(runs: Iterable[Run]) -> Picture | None:
    """The accuracy of the runs over what their training computed, which is the same on every machine; None if there are
    none. runs: one per recipe. Of a recipe and its forms with other epochs only the former is shown."""
    runs = list(runs)
    whole = [run for run in runs if not any(is_form(run.recipe, other.recipe) for other in runs)]
    curves = {
        run.recipe.name: (list_costs(run), np.array([record.eval_accuracy for record in run.history])) for run in whole
    }
    return plot_accuracy_over_computation(curves, list_points()) if curves else None


def is_form(recipe: Recipe, other: Recipe) -> bool:
    """Whether a recipe is the other one with another number of epochs, as its name says: resnet18_onecycle_30."""
    named = recipe.name.startswith(f"{other.name}_")
    return named and replace(recipe, name=other.name, epochs=other.epochs) == other


def list_costs(run: Run) -> np.ndarray:
    """Multiply-adds that the training has done at the end of each epoch: (epochs,) float64. The backward pass counts as
    two forward passes."""
    recipe, epochs = run.recipe, len(run.history)
    progress = np.linspace(0, 1, 100 * epochs, endpoint=False)  # a hundred places in each epoch
    forward = [count_forward(recipe.network, recipe.resolution(place)) for place in progress]
    each = np.reshape(forward, (epochs, -1)).mean(1) * SIZES["train"] * recipe.epochs / epochs
    return 3 * each.cumsum()


@functools.cache
def count_forward(network: str, pixels: int) -> int:
    """Multiply-adds of a forward pass of one image."""
    return count_multiply_adds(NETWORKS[network](), pixels)


def list_points() -> list[tuple[float, float]]:
    """Of each report that measured: the multiply-adds of its epochs, and the best accuracy that it gives."""
    measured = [report for report in dict.fromkeys(REPORTED.values()) if report.measured]
    forward = {report: count_forward(report.network.lower().replace("-", ""), 32) for report in measured}
    return [(3 * forward[report] * SIZES["train"] * report.epochs, report.best) for report in measured]
