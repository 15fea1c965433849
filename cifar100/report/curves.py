"""The figures of the pages: each recipe's epochs, and all recipes' accuracy over time."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cifar100.figures.style import save_figure
from cifar100.figures.training import plot_accuracy_over_time, plot_history
from cifar100.report.describe import list_events
from cifar100.report.reported import REPORTED
from cifar100.runs.run import Run

CURVES = "curves.png"  # in the folder of a recipe
OVER_TIME = "accuracy_over_time.png"  # in assets/


def save_curves(runs: Iterable[Run], assets: Path) -> list[Path]:
    """Draw the epochs of the runs, each beside its folder, and the accuracy of those that a processor trained over its
    minutes. runs: one a recipe. Returns the files."""
    drawn, curves = [], {}
    for run in runs:
        recipe, history, metrics, folder = run.recipe, run.history, run.metrics, run.folder
        reported = REPORTED.get(recipe.name)
        title = f"{recipe.name}: {history[-1].eval_accuracy:.2%} after {len(history)} epochs"
        figure = plot_history(history, title, list_events(recipe), reported.best if reported else None)
        save_figure(figure, folder.parent / CURVES)
        drawn.append(folder.parent / CURVES)
        if "cpu" in metrics["hardware"]:
            share = np.arange(1, len(history) + 1) / len(history)
            accuracies = np.array([record.eval_accuracy for record in history])
            curves[recipe.name] = metrics["seconds"] / 60 * share, accuracies
    if curves:
        save_figure(plot_accuracy_over_time(curves, list_lines()), assets / OVER_TIME)
        drawn.append(assets / OVER_TIME)
    return drawn


def list_lines() -> dict[str, float]:
    """What the reports have measured, by what a figure calls it."""
    measured = [report for report in dict.fromkeys(REPORTED.values()) if "not measured" not in report.note]
    return {f"a report's {report.network}, {report.epochs} epochs": report.best for report in measured}
