"""training_logs.md: every epoch of every published run."""

from collections.abc import Iterable
from pathlib import Path

from cifar100.report.describe import describe_changes, describe_recipe
from cifar100.report.reported import REPORTED
from cifar100.runs.history import format_record, format_seconds
from cifar100.runs.machines import describe_machines
from cifar100.runs.run import Run

LOGS_TITLE = """# Training logs

Every epoch of every published run, rendered from `output/<recipe>/seed<k>/` by `python -m cifar100 report`.
Training figures are taken while the network learns, on augmented images; the test figures are plain.
The hardware line ends with the precision of training, which each machine chooses (`--precision`).
"""


def render_logs(runs: Iterable[Run]) -> str:
    """The page's text."""
    return "\n".join([LOGS_TITLE, *map(render_section, runs)])


def render_run(folder: str | Path) -> str:
    """The section of one run. Raises UserError if a file of it is missing or damaged."""
    return render_section(Run.load(folder))


def render_section(run: Run) -> str:
    """Settings, what was reached, and every epoch."""
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
    """The numbers of the report that the recipe rebuilds, as an item of a list; nothing for a recipe of our own."""
    return [f"- The report's: {REPORTED[name].describe()}"] if name in REPORTED else []
