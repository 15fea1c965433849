"""The figures of the pages: each recipe's epochs, and all recipes' accuracy over time."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cifar100.figures.style import Picture, save_figure
from cifar100.figures.training import plot_accuracy_over_time, plot_history
from cifar100.report.describe import list_events
from cifar100.report.readme import OVER_TIME
from cifar100.report.reported import REPORTED
from cifar100.runs.run import Run

CURVES = "curves.png"  # in the folder of a recipe


def save_curves(runs: Iterable[Run], root: Path) -> list[Path]:
    """Draw the epochs of the runs, each beside its folder, and their accuracy over time. runs: one a recipe. Returns
    the files."""
    figures, runs = {}, list(runs)
    for run in runs:
        reported = REPORTED.get(run.recipe.name)
        title = f"{run.recipe.name}: {run.history[-1].eval_accuracy:.2%} after {len(run.history)} epochs"
        events, best = list_events(run.recipe), reported.best if reported else None
        figures[run.folder.parent / CURVES] = plot_history(run.history, title, events, best)
    if overview := draw_over_time(runs):
        figures[root / OVER_TIME] = overview
    for path, figure in figures.items():
        save_figure(figure, path)
    return list(figures)


def draw_over_time(runs: Iterable[Run]) -> Picture | None:
    """The accuracy of the runs that two processor cores trained, over their minutes; None if there are none. runs: one
    per recipe."""
    curves = {}
    for run in (run for run in runs if "2 threads" in run.metrics["hardware"]):
        accuracies = np.array([record.eval_accuracy for record in run.history])
        curves[run.recipe.name] = run.metrics["seconds"] / 60 * list_shares(run), accuracies
    return plot_accuracy_over_time(curves, list_lines()) if curves else None


def list_shares(run: Run) -> np.ndarray:
    """The share of a run's time that had passed at the end of each epoch: (epochs,). A step on a smaller picture costs
    as much less as it has fewer pixels; an evaluation costs a fifteenth of an epoch at 32 pixels, a third of a step for
    each of a fifth as many images."""
    steps = np.linspace(0, 1, 100 * len(run.history), endpoint=False)
    costs = np.array([run.recipe.resolution(progress) ** 2 / 32**2 for progress in steps])
    ends = (costs.reshape(len(run.history), -1).mean(1) + 1 / 15).cumsum()
    return ends / ends[-1]


def list_lines() -> dict[str, float]:
    """What the reports have measured, by what a figure calls it."""
    measured = [report for report in dict.fromkeys(REPORTED.values()) if report.measured]
    return {f"a report's {report.network}, {report.epochs} epochs": report.best for report in measured}
