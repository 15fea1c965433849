"""The figures of the pages: each recipe's epochs, and all recipes' accuracy over what their training computes."""

import functools
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
from cifar100.report.readme import OVERVIEW, group_by_recipe, list_accuracies
from cifar100.report.reported import REPORTED, list_levels
from cifar100.runs.run import Run
from model import NETWORKS

CURVES = "curves.png"  # in the folder of a recipe


def save_curves(runs: Iterable[Run], root: Path) -> list[Path]:
    """Draw each recipe's epochs, beside the folder of its first run, and the accuracy of all over what they compute.
    runs: as they are published. Returns the files."""
    figures, runs = {}, list(runs)
    for run in {run.recipe.name: run for run in reversed(runs)}.values():
        name, seed = run.recipe.name, run.recipe.seed
        title = f"{name}, seed {seed}: {run.history[-1].eval_accuracy:.2%} after {len(run.history)} epochs"
        figure = plot_history(run.history, title, list_events(run.recipe), list_levels(name))
        figures[run.folder.parent / CURVES] = figure
    if overview := draw_over_computation(group_by_recipe(runs)):
        figures[root / OVERVIEW] = overview
    for path, figure in figures.items():
        save_figure(figure, path)
    return list(figures)


def draw_over_computation(groups: dict[str, list[Run]]) -> Picture | None:
    """The accuracy of the recipes, the mean over their runs, over what a training computes, which is the same on every
    machine; None if there are none. groups: as `readme.group_by_recipe` gives them. Of a recipe and its forms with
    other epochs only the former is shown."""
    recipes = [RECIPES[name] for name in groups]
    shown = [recipe for recipe in recipes if not any(is_form(recipe, other) for other in recipes)]
    points = {recipe.name: (count_training(recipe), mean(list_accuracies(groups[recipe.name]))) for recipe in shown}
    measured = {name: REPORTED[name] for name in points if name in REPORTED and REPORTED[name].measured}
    reported = {
        name: (count_training(replace(RECIPES[name], epochs=report.epochs)), report.best)
        for name, report in measured.items()
    }
    return plot_accuracy_over_computation(points, reported) if points else None


def is_form(recipe: Recipe, other: Recipe) -> bool:
    """Whether a recipe is the other one with another number of epochs, as its name says: resnet18_onecycle_30."""
    named = recipe.name.startswith(f"{other.name}_")
    return named and replace(recipe, name=other.name, epochs=other.epochs) == other


def count_training(recipe: Recipe) -> float:
    """Multiply-adds of a whole training on CIFAR-100. The backward pass counts as two forward passes."""
    forward = mean(count_forward(recipe.network, recipe.resolution(step / 1000)) for step in range(1000))
    return 3 * forward * SIZES["train"] * recipe.epochs


@functools.cache
def count_forward(network: str, pixels: int) -> int:
    """Multiply-adds of a forward pass of one image."""
    return count_multiply_adds(NETWORKS[network](), pixels)
