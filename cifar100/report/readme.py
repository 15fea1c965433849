"""The README's tables, first lines and pictures, rendered from the published runs; and the places where they go."""

import re
import statistics
from collections.abc import Iterable
from pathlib import Path

from cifar100.errors import UserError
from cifar100.recipes import RECIPES
from cifar100.report.describe import describe_changes
from cifar100.report.reported import ASKED_FOR, REPORTED, Reported
from cifar100.runs.history import format_seconds
from cifar100.runs.run import Run

OVERVIEW = "assets/accuracy_by_recipe.png"
# Recipes that the README's first lines name, and whose figures it shows.
HEADLINE = ("resnet56_multistep", "sprint", "resnet18_fast")

# What the README shows of a run, and the words for those who cannot see it.
README_PICTURES = {
    "13_curves.png": "Loss, top-1 accuracy and learning rate of {name} over its epochs, for training and test images.",
    "20_grad_cam.png": "Eight test pictures, four that {name} classifies rightly and four wrongly, each above two "
    "heatmaps of what spoke for the predicted class: from the last stage, coarse, and from the stage before, finer.",
}


def group_by_recipe(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Every recipe's runs, seeds together. Runs whose settings are not the recipe's have a section in the logs, but no
    place in its mean."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.recipe.name in RECIPES and not describe_changes(run.recipe):
            groups.setdefault(run.recipe.name, []).append(run)
    return groups


def render_results(groups: dict[str, list[Run]]) -> str:
    """A line for each recipe, its seeds together, with the numbers of the report that it rebuilds; and the reports."""
    lines = [
        "| recipe | network | epochs | final test accuracy | best epoch | the report's | time a run, and on what |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for name, runs in groups.items():
        recipe = RECIPES[name]
        lines.append(
            f"| `{name}` | {recipe.network} | {recipe.epochs:g} | **{format_accuracy(runs)}** "
            f"| {format_accuracy(runs, 'best')} | {REPORTED[name].describe() if name in REPORTED else '-'} "
            f"| {format_times(runs)} |"
        )
    rebuilt: dict[Reported, str] = {}  # by the first recipe, which has the report's epochs
    for name, report in REPORTED.items():
        rebuilt.setdefault(report, name)
    reports = "; ".join(f"`{name}`: {report.cite()}" for report, name in rebuilt.items())
    return "\n".join(lines) + f"\n\nThe reports, by the recipe that rebuilds each: {reports}.\n"


def render_headline(groups: dict[str, list[Run]]) -> str:
    """The README's first sentences with a number: what the notebook's recipe, the quickest and the most accurate one
    reach, in what time, on what; and which recipes reach what the course asks for."""
    means = {name: statistics.mean(list_accuracies(runs)) for name, runs in groups.items()}
    lines = []
    for name in dict.fromkeys(filter(groups.get, (*HEADLINE, max(means, key=means.get, default=None)))):
        runs = groups[name]
        report = f" (the report it rebuilds: {REPORTED[name].describe()})" if name in REPORTED else ""
        lines.append(
            f"- `python -m cifar100 train {name}`: **{format_accuracy(runs)}** top-1 on the test set after "
            f"{RECIPES[name].epochs:g} epochs{report}, in {format_times(runs)}.\n"
        )
    missed = [f"`{name}` ({mean:.2%})" for name, mean in means.items() if mean < ASKED_FOR]
    if means:
        lines.append(
            f"- The course asks for {ASKED_FOR:.0%}. {len(means) - len(missed)} of these {len(means)} recipes reach it "
            f"as the mean of their runs{', not ' + join_words(missed) if missed else ''}."
            f"{describe_seeds(HEADLINE[0], groups)}\n"
        )
    return "".join(lines)


def join_words(words: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def describe_seeds(name: str, groups: dict[str, list[Run]]) -> str:
    """What each seed of a recipe has reached, where there are several; the pages' figures show the first."""
    runs = groups.get(name, [])
    if len(runs) < 2:
        return ""
    each = [f"{accuracy:.2%} (seed {run.recipe.seed})" for run, accuracy in zip(runs, list_accuracies(runs))]
    return (
        f" `{name}` by itself: {join_words(each)}; the notebook and the figures below show seed {runs[0].recipe.seed}."
    )


def render_figures(groups: dict[str, list[Run]], root: Path) -> str:
    """The README's pictures: the accuracy of all recipes, where that was drawn, and side by side
    those of the first recipe of the headline that the notebook has drawn; and the link to its model card."""
    lines = []
    if (root / OVERVIEW).is_file():
        words = "Top-1 accuracy by recipe: a dot for each seed, a diamond for what the report says."
        lines.append(f"![{words}]({OVERVIEW})\n")
    folders = {name: groups[name][0].folder.parent for name in filter(groups.get, HEADLINE)}
    for name, folder in folders.items():
        if all((folder / picture).is_file() for picture in README_PICTURES):
            shown = [f"![{words.format(name=name)}](output/{name}/{file})" for file, words in README_PICTURES.items()]
            head = f"`{name}`, seed {groups[name][0].recipe.seed}, epoch by epoch | where it looks (Grad-CAM)"
            lines.append(f"| {head} |\n| --- | --- |\n| {' | '.join(shown)} |\n")
            if (folder / "MODEL_CARD.md").is_file():
                lines.append(
                    f"One number is not enough: the [model card of {name}](output/{name}/MODEL_CARD.md) has intervals, "
                    "calibration, the best and\nworst classes, and the accuracy without the test images that nearly "
                    "repeat a training image.\n"
                )
            break
    return "\n".join(lines)


def list_accuracies(runs: list[Run], which: str = "final") -> list[float]:
    """On the test set, 0..1, after the last epoch or the "best"."""
    return [run.metrics[which]["test_accuracy"] for run in runs]


def format_accuracy(runs: list[Run], which: str = "final") -> str:
    """Mean, and with several seeds their standard deviation and number."""
    values = list_accuracies(runs, which)
    mean = f"{statistics.mean(values):.2%}"
    return f"{mean} ± {statistics.stdev(values) * 100:.2f} ({len(values)} seeds)" if len(values) > 1 else mean


def format_times(runs: list[Run]) -> str:
    """The time of a run on each kind of machine, that which trained most of its epochs: the shortest and the longest
    where they differ by a tenth or more; the quickest machine first."""
    seconds: dict[str, list[float]] = {}
    for metrics in sorted((run.metrics for run in runs), key=lambda metrics: metrics["seconds"]):
        machine = metrics["hardware"] + (" and others" if "machines" in metrics else "")
        seconds.setdefault(machine, []).append(metrics["seconds"])
    return "; ".join(f"{format_range(times)} on {machine}" for machine, times in seconds.items())


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


def insert_benches(text: str, output: Path) -> str:
    """The text with each block filled that stands for a measurement of `python -m benchmarks`, empty where none is
    kept."""
    for name in re.findall(r"<!-- bench (\w+) -->", text):
        path = output / "bench" / f"{name}.md"
        text = replace_block(text, f"bench {name}", path.read_text(encoding="utf-8") if path.is_file() else "")
    return text
