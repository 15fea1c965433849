"""The README's tables and figures, rendered from the published runs; and the marks between which they go."""

import re
import statistics
from pathlib import Path

from cifar100.errors import UserError
from cifar100.recipes import RECIPES
from cifar100.report.reported import ASKED_FOR, REPORTED
from cifar100.runs.history import format_seconds
from cifar100.runs.run import Run

NOTEBOOK = ("resnet56_muon", "resnet56_multistep")  # the notebook's own recipe; its report's, until that has a run
CURVES, STRIP = "curves.png", "assets/grad_cam.png"  # a recipe's figure; what the notebook draws of its network


def render_headline(groups: dict[str, list[Run]]) -> str:
    """The first screen's table: the notebook's network, the most accurate, and the quick ones."""
    own, best = (
        find_own(groups),
        max(groups, key=lambda name: statistics.mean(list_accuracies(groups[name])), default=""),
    )
    words = {own: "ResNet-56, the notebook's", best: "the most accurate", "resnet18_fast": "ResNet-18 in a hurry"}
    words |= {"sprint": "a small network for two CPU cores"}
    lines = ["| | top-1 on the test set | its report | time of a training run |", "| --- | --- | --- | --- |"]
    for name in filter(groups.get, words):
        seeds = ", ".join(f"{accuracy:.2%}" for accuracy in list_accuracies(groups[name]))
        each = f": {seeds}" if len(groups[name]) > 1 else ""
        report = f"{REPORTED[name].best:.2%}" if name in REPORTED else "-"
        accuracy = f"**{format_accuracy(groups[name])}**{each}"
        lines.append(f"| {words[name]}: `{name}` | {accuracy} | {report} | {format_times(groups[name])} |")
    machines = sorted({run.metrics["hardware"] for name in words for run in groups.get(name, [])})
    return "\n".join([*lines, "", f"Measured on: {'; '.join(machines)}.", ""])


def find_own(groups: dict[str, list[Run]]) -> str:
    """The recipe that stands for the notebook; "" where there are no runs."""
    return next(filter(groups.get, (*NOTEBOOK, *groups)), "")


def render_figures(groups: dict[str, list[Run]], root: Path) -> str:
    """The curve of the notebook's recipe, and where its network looks, as far as they are drawn."""
    name = find_own(groups)
    figures = {  # how wide, in pixels, so that both fit on the first screen
        f"output/{name}/{CURVES}": (560, f"Loss, top-1 accuracy and learning rate of {name} over its epochs."),
        STRIP: (840, "Four test images, each beside a heatmap of what speaks for the predicted class (Grad-CAM)."),
    }
    shown = {path: own for path, own in figures.items() if (root / path).is_file()}
    return "".join(f'<img src="{path}" width="{wide}" alt="{words}">\n\n' for path, (wide, words) in shown.items())


def render_results(groups: dict[str, list[Run]]) -> str:
    """A line for each recipe, its seeds together, with the numbers of the report that it rebuilds; and the reports."""
    lines = ["| recipe | epochs | ours | the report | time |", "| --- | ---: | ---: | --- | --- |"]
    for name, runs in groups.items():
        report = REPORTED[name].describe() if name in REPORTED else "-"
        accuracy, epochs = format_accuracy(runs), f"{RECIPES[name].epochs:g}"
        lines.append(f"| `{name}` | {epochs} | **{accuracy}** | {report} | {format_times(runs)} |")
    means = {name: statistics.mean(list_accuracies(runs)) for name, runs in groups.items()}
    missed = [f"`{name}` ({mean:.2%})" for name, mean in means.items() if mean < ASKED_FOR]
    target = f"The course asks for {ASKED_FOR:.0%}: {len(means) - len(missed)} of these {len(means)} recipes reach it"
    target += f", but not {', '.join(missed)}." if missed else "."
    reports = "; ".join(f"`{name}`: {report.cite()}" for name, report in REPORTED.items() if name != NOTEBOOK[0])
    return "\n".join([*lines, "", target, "", f"The reports, by the recipe that rebuilds each: {reports}.", ""])


def list_accuracies(runs: list[Run], which: str = "final") -> list[float]:
    """On the test set, 0..1, after the last epoch or the "best"."""
    return [run.metrics[which]["test_accuracy"] for run in runs]


def format_accuracy(runs: list[Run], which: str = "final") -> str:
    """Mean, and with several seeds their standard deviation and number."""
    values = list_accuracies(runs, which)
    mean = f"{statistics.mean(values):.2%}"
    return f"{mean} ± {statistics.stdev(values) * 100:.2f} ({len(values)} seeds)" if len(values) > 1 else mean


def format_times(runs: list[Run]) -> str:
    """The time of a run on a GPU and on a CPU: the shortest and the longest where they differ by a tenth or more."""
    seconds: dict[str, list[float]] = {}
    for run in runs:
        kind = "CPU" if "cpu" in run.metrics["hardware"].split(", ") else "GPU"
        seconds.setdefault(kind, []).append(run.metrics["seconds"])
    return "; ".join(f"{format_range(times)} on a {kind}" for kind, times in sorted(seconds.items(), reverse=True))


def format_range(seconds: list[float]) -> str:
    bounds = [statistics.mean(seconds)] if max(seconds) < 1.1 * min(seconds) else [min(seconds), max(seconds)]
    return " to ".join(format_seconds(value).replace(" ", "\u00a0") for value in bounds)  # not broken within


def replace_block(text: str, name: str, content: str) -> str:
    """The text with what stands between <!-- name --> and <!-- end of name --> replaced.
    Raises UserError unless it has just one such place."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    pattern = re.escape(start) + ".*?" + re.escape(end)
    text, count = re.subn(pattern, lambda _: start + content + end, text, flags=re.DOTALL)
    if count != 1:
        raise UserError(
            f"README.md must have one line <!-- {name} --> and, below, one <!-- end of {name} -->: add them."
        )
    return text
