"""Render what the runs have left behind: training_logs.md and the README's tables."""

import re
import statistics
from pathlib import Path

from cifar100.errors import UserError
from cifar100.files import write_text
from cifar100.recipes import RECIPES
from cifar100.report.describe import describe_changes, describe_recipe
from cifar100.report.model_card import render_card
from cifar100.report.reported import REPORTED
from cifar100.report.repository import insert_address, load_address, render_notebook
from cifar100.runs.find import find_published
from cifar100.runs.history import format_record, format_seconds
from cifar100.runs.machines import describe_machines
from cifar100.runs.run import Run, load_metrics

LOGS_TITLE = """# Training logs

Every epoch of every published run, rendered from `output/<recipe>/seed<k>/` by `python -m cifar100 report`.
Training figures are taken while the network learns, on augmented images; the test figures are plain.
The last word on the hardware is the precision of training, which each machine chooses (`--precision`).
"""


HEADLINE = ("resnet56_multistep", "sprint")  # recipes that the README's first lines name

# What the README shows of a run, and the words for those who can not see it.
README_PICTURES = {
    "11_curves.png": "Loss, top-1 accuracy and learning rate of {name} over its epochs, for training and test images.",
    "19_grad_cam.png": "Eight test pictures, four that {name} classifies rightly and four wrongly, each above two "
    "heatmaps of what spoke for the predicted class: from the last stage, coarse, and from the stage before, finer.",
}


def render_run(folder: Path) -> str:
    """The section of one run: settings, what it reached, and every epoch. Raises UserError if a
    file of the run is missing or damaged."""
    run = Run.load(folder)
    recipe, history, metrics, held = run.recipe, run.history, run.metrics, run.split
    final, best = metrics["final"], metrics["best"]
    gap = final["train_accuracy"] - final[f"{held}_accuracy"]
    reached = ", ".join(f"{float(t):.0%} in epoch {epoch}" for t, epoch in metrics["reached"].items() if epoch)
    title = f"{recipe.name}, seed {recipe.seed}" + (" (SAMPLE)" if run.sample else "")
    lines = [
        f"<!-- run {recipe.name}/seed{recipe.seed} -->",
        f"## {title}",
        "",
        f"- Made by `{run.command}`" + describe_changes(recipe),
        f"- Settings: {describe_recipe(recipe)}",
        f"- Final epoch: {held} accuracy {final[f'{held}_accuracy']:.2%}, training accuracy "
        f"{final['train_accuracy']:.2%}, gap {gap * 100:.2f} points",
        f"- Best epoch (chosen on the {held} set): {best[f'{held}_accuracy']:.2%} in epoch {best['epoch']}",
        f"- Reached: {reached or 'none of ' + ', '.join(f'{float(t):.0%}' for t in metrics['reached'])}",
        f"- {format_seconds(metrics['seconds'])} on {describe_machines(metrics)}, "
        f"{metrics['images_per_second']:,.0f} training images/s, torch {metrics['versions']['torch']}",
        *report_line(recipe.name),
        "",
        "```",
        *(format_record(record, len(history)) for record in history),
        "```",
        f"<!-- end of run {recipe.name}/seed{recipe.seed} -->",
    ]
    return "\n".join(lines) + "\n"


def report_line(name: str) -> list[str]:
    """What the report says whose system the recipe rebuilds, as an item of a list; nothing for a recipe of our own."""
    return [f"- The report's: {REPORTED[name].describe()}"] if name in REPORTED else []


def render_logs(output: str | Path = "output") -> str:
    """The text of training_logs.md."""
    return "\n".join([LOGS_TITLE, *(render_run(folder) for folder in find_published(output))])


def published_metrics(output: str | Path = "output") -> dict[str, list[dict]]:
    """The metrics of every recipe's runs, seeds together. Runs whose settings are not the recipe's
    have a section in the logs, but no place in its mean."""
    runs: dict[str, list[dict]] = {}
    for run in map(Run.load, find_published(output)):
        if run.recipe.name in RECIPES and not describe_changes(run.recipe):
            runs.setdefault(run.recipe.name, []).append(run.metrics)
    return runs


def find_evaluated(output: str | Path = "output") -> list[Path]:
    """The run of each recipe that has a model card: the lowest seed that was evaluated in full."""
    chosen: dict[str, Path] = {}
    for folder in find_published(output):
        if "evaluation" in load_metrics(folder):
            chosen.setdefault(folder.parent.name, folder)
    return list(chosen.values())


def render_results(output: str | Path = "output") -> str:
    """The README's table: a line a recipe, its seeds together, and what the report says whose system it rebuilds."""
    lines = [
        "| recipe | network | epochs | final test accuracy | best epoch | the report's | time a run | hardware |",
        "| --- | --- | ---: | ---: | ---: | --- | ---: | --- |",
    ]
    for name, metrics in published_metrics(output).items():
        recipe = RECIPES[name]
        final, best = ([m[which]["test_accuracy"] for m in metrics] for which in ("final", "best"))
        lines.append(
            f"| `{name}` | {recipe.network} | {recipe.epochs:g} | **{format_spread(final)}** | {format_spread(best)} "
            f"| {REPORTED[name].describe() if name in REPORTED else '-'} "
            f"| {format_times(metrics)} | {format_hardware(metrics)} |"
        )
    return "\n".join(lines) + "\n"


def render_headline(output: str | Path = "output") -> str:
    """The README's first sentences with a number: what the notebook's recipe and the quickest one reach, in what time,
    on what."""
    published, lines = published_metrics(output), []
    for name in HEADLINE:
        if name in published:
            runs = published[name]
            accuracy = format_spread([metrics["final"]["test_accuracy"] for metrics in runs])
            report = f" (the report it rebuilds: {REPORTED[name].describe()})" if name in REPORTED else ""
            lines.append(
                f"- `python -m cifar100 train {name}`: **{accuracy}** top-1 on the test set after {RECIPES[name].epochs:g} "
                f"epochs{report}, in {format_times(runs)} on {format_hardware(runs)}.\n"
            )
    return "".join(lines)


def render_figures(output: str | Path = "output") -> str:
    """The README's pictures, of the recipe with the highest accuracy among those that the notebook has drawn, and the
    link to its model card."""
    drawn = {
        statistics.mean(metrics["final"]["test_accuracy"] for metrics in runs): name
        for name, runs in published_metrics(output).items()
        if all((Path(output) / name / picture).is_file() for picture in README_PICTURES)
    }
    if not drawn:
        return ""
    name = drawn[max(drawn)]
    lines = [f"![{words.format(name=name)}](output/{name}/{picture})\n" for picture, words in README_PICTURES.items()]
    if (Path(output) / name / "MODEL_CARD.md").is_file():
        lines.append(
            f"One number is not enough: the [model card of {name}](output/{name}/MODEL_CARD.md) has intervals, calibration, "
            "the best and\nworst classes, and the accuracy without the test images that nearly repeat a training image.\n"
        )
    return "\n".join(lines)


def format_times(runs: list[dict]) -> str:
    """The mean time of the runs, or the shortest and the longest where they differ by a tenth or more."""
    seconds = [metrics["seconds"] for metrics in runs]
    if max(seconds) < 1.1 * min(seconds):
        return format_seconds(statistics.mean(seconds))
    return f"{format_seconds(min(seconds))} to {format_seconds(max(seconds))}"


def format_hardware(runs: list[dict]) -> str:
    """Of each run the machine that trained most of its epochs."""
    return "; ".join(sorted({m["hardware"] + (" and others" if "machines" in m else "") for m in runs}))


def format_spread(values: list[float]) -> str:
    """Mean, and with several values their standard deviation and number. values: 0..1."""
    mean = f"{statistics.mean(values):.2%}"
    return f"{mean} ± {statistics.stdev(values) * 100:.2f} ({len(values)} seeds)" if len(values) > 1 else mean


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


def insert_benches(text: str, output: str | Path = "output") -> str:
    """The text with each block filled that stands for a measurement of `python -m benchmarks`, empty where none is kept."""
    for name in re.findall(r"<!-- bench (\w+) -->", text):
        path = Path(output) / "bench" / f"{name}.md"
        text = replace_block(text, f"bench {name}", path.read_text(encoding="utf-8") if path.is_file() else "")
    return text


def render_all(root: Path) -> dict[Path, str]:
    """Each rendered file of the project and its text, from root/output."""
    readme, output = root / "README.md", root / "output"
    address = load_address(root)
    text = insert_address(readme.read_text(encoding="utf-8"), address, "CIFAR100_ResNet.ipynb")
    text = replace_block(text, "headline", render_headline(output))
    text = replace_block(text, "figures", render_figures(output))
    text = replace_block(text, "results", render_results(output))
    pages = {page: page.read_text(encoding="utf-8") for page in sorted((root / "docs").glob("*.md"))}
    return {
        root / "training_logs.md": render_logs(output),
        **{page: insert_benches(words, output) for page, words in (pages | {readme: text}).items()},
        **{path: render_notebook(path, address) for path in sorted(root.glob("*.ipynb"))},
        **{folder.parent / "MODEL_CARD.md": render_card(Run.load(folder)) for folder in find_evaluated(output)},
    }


def write_all(root: Path) -> list[Path]:
    """Render the project's files anew. Returns those whose text has changed."""
    changed = [
        (path, text)
        for path, text in render_all(root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in changed:
        write_text(path, text)
    return [path for path, _ in changed] + remove_stale_cards(root) + draw_missing(root, changed)


def draw_missing(root: Path, changed: list[tuple[Path, str]]) -> list[Path]:
    """Draw the pages' figures anew where a log has changed, or one of them is missing."""
    from cifar100.report.curves import CURVES, OVER_TIME, save_curves  # here, because it imports matplotlib

    first: dict[str, Path] = {}
    for folder in find_published(root / "output"):
        first.setdefault(folder.parent.name, folder)
    wanted = [*(folder.parent / CURVES for folder in first.values()), root / "assets" / OVER_TIME]
    if any(path.name == "training_logs.md" for path, _ in changed) or not all(path.is_file() for path in wanted):
        return save_curves(first.values(), root / "assets")
    return []


def remove_stale_cards(root: Path) -> list[Path]:
    """Delete the model cards of runs that are no longer there, or were replaced by one not yet evaluated."""
    current = {folder.parent / "MODEL_CARD.md" for folder in find_evaluated(root / "output")}
    stale = [path for path in sorted((root / "output").glob("*/MODEL_CARD.md")) if path not in current]
    for path in stale:
        path.unlink()
    return stale
