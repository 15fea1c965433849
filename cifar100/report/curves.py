"""The figures of the pages: each recipe's epochs, and all recipes' accuracy over what their training computes."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import mean

from cifar100.dataset.cifar import SIZES
from cifar100.explain.receptive_field import count_multiply_adds
from cifar100.figures.style import Picture, save_figure
from cifar100.figures.training import plot_accuracy_over_computation, plot_history
from cifar100.recipe import Recipe
from cifar100.recipes import RECIPES
from cifar100.report.describe import list_events
from cifar100.report.readme import CURVES, list_accuracies
from cifar100.report.reported import REPORTED, list_levels
from cifar100.runs.run import Run
from model import NETWORKS


def save_curves(runs: Iterable[Run]) -> list[Path]:
    """Draw the epochs of each recipe's first run, beside its folder. Returns the files."""
    paths = []
    for run in {run.recipe.name: run for run in reversed(list(runs))}.values():
        name = run.recipe.name
        title = f"{name}, seed {run.recipe.seed}: {run.history[-1].eval_accuracy:.2%} after {len(run.history)} epochs"
        paths.append(run.folder.parent / CURVES)
        save_figure(plot_history(run.history, title, list_events(run.recipe), list_levels(name)), paths[-1])
    return paths


def draw_over_computation(groups: dict[str, list[Run]]) -> Picture | None:
    """The mean accuracy of the recipes over what a training run computes, which is the same on every machine; None if
    there are none. groups: as `published.group_by_recipe` gives them."""
    points = {name: (count_training(RECIPES[name]), mean(list_accuracies(runs))) for name, runs in groups.items()}
    reported = {
        name: (count_training(replace(RECIPES[name], epochs=REPORTED[name].epochs)), REPORTED[name].best)
        for name in points
        if name in REPORTED
    }
    return plot_accuracy_over_computation(points, reported) if points else None


def count_training(recipe: Recipe) -> float:
    """Multiply-adds of a whole run on CIFAR-100. The backward pass counts as two forward passes."""
    sides = [recipe.resolution(step / 1000) for step in range(1000)]
    network = NETWORKS[recipe.network]()
    forward = {side: count_multiply_adds(network, side) for side in set(sides)}
    return 3 * mean(forward[side] for side in sides) * SIZES["train"] * recipe.epochs
