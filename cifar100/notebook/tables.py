"""The tables that the main notebook shows: a training by ranges of epochs, targets, comparisons, results."""

from collections.abc import Iterator
from itertools import pairwise
from statistics import mean, median

from cifar100.eda.augmentations import list_transforms
from cifar100.evaluation.corruptions import find_table
from cifar100.recipe import Augmentation, Recipe
from cifar100.recipes import RECIPES
from cifar100.report.describe import list_events
from cifar100.report.readme import format_accuracy, format_times, list_accuracies
from cifar100.report.reported import ASKED_FOR, REPORTED
from cifar100.runs.history import EpochRecord, format_seconds
from cifar100.runs.machines import describe_machines
from cifar100.runs.run import Run

FIRST_EPOCHS = 10  # that are told by themselves where the first range is long
EDGE = 5  # epochs whose mean stands for the beginning or the end of a range
GAINED = f"first epoch, against the {EDGE} before it"


def as_markdown(rows: list[dict[str, str]]) -> str:
    """A table with a line for each row; all rows have the keys of the first, which are its head. Nothing
    without rows."""
    if not rows:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summarise_ranges(history: list[EpochRecord], recipe: Recipe) -> list[dict[str, str]]:
    """A row for each range of epochs between two changes of the recipe, and for the first epochs: the rate, what
    training and test accuracy do within it, what the first epoch after a change gains over the EDGE before, and the gap
    between training and test at both ends. Ends are means of EDGE epochs, or of half the range, since single epochs
    jump; but the very first epoch stands alone."""
    changes = {round(epoch) for epoch in list_events(recipe) if 1 <= epoch < len(history)}
    ends = changes | {len(history)}
    ends = sorted(ends | ({FIRST_EPOCHS} if min(ends) > 2 * FIRST_EPOCHS else set()))
    rows = []
    for first, last in zip([0, *ends], ends):
        steps = [abs(b.eval_accuracy - a.eval_accuracy) for a, b in pairwise(history[first:last])]
        edge = min(EDGE, max(1, (last - first) // 2))
        start = take_means(history[first : first + (edge if first else 1)])
        end, before = take_means(history[last - edge : last]), take_means(history[max(0, first - EDGE) : first or 1])
        rows.append(
            {
                "epochs": f"{first + 1}-{last}",
                "rate at the end": f"{history[last - 1].lr:.2g}",
                "training accuracy": f"{start['train']:.1%} to {end['train']:.1%}",
                "test accuracy": f"{start['eval']:.1%} to {end['eval']:.1%}",
                GAINED: f"{100 * (history[first].eval_accuracy - before['eval']):+.1f} points"
                if first in changes
                else "-",
                "typical change from epoch to epoch": f"{100 * median(steps):.1f} points" if steps else "-",
                "gap": " to ".join(f"{100 * (m['train'] - m['eval']):+.1f}" for m in (start, end)) + " points",
            }
        )
    return rows


def take_means(records: list[EpochRecord]) -> dict[str, float]:
    """Of training and test accuracy, over some epochs."""
    return {kind: mean(getattr(record, f"{kind}_accuracy") for record in records) for kind in ("train", "eval")}


def format_gap(record: EpochRecord) -> str:
    """Training minus test accuracy, in points."""
    return f"{100 * (record.train_accuracy - record.eval_accuracy):+.1f}"


def list_targets(recipe: Recipe, history: list[EpochRecord], runs: list[Run]) -> list[dict[str, str]]:
    """The course's target and the report's numbers, each with what this run reached, and what the mean of the recipe's
    published runs reached where there are several seeds."""
    final, best = history[-1].eval_accuracy, max(record.eval_accuracy for record in history)
    targets = {"the course asks for": (ASKED_FOR, final, "final")}
    if recipe.name in REPORTED:
        reported = REPORTED[recipe.name]
        targets["the report's best epoch"] = (reported.best, best, "best")
        if reported.last:
            targets["the report's last epoch"] = (reported.last, final, "final")
    rows = []
    for name, (least, here, which) in targets.items():
        row = {"target": name, "at least": f"{least:.2%}", "this run": judge(here, least)}
        if len(runs) > 1:
            row[f"mean of {len(runs)} seeds"] = judge(mean(list_accuracies(runs, which)), least)
        rows.append(row)
    return rows


def judge(accuracy: float, least: float) -> str:
    return f"{accuracy:.2%}, {'reached' if accuracy >= least else f'missed by {100 * (least - accuracy):.2f} points'}"


def compare_reports(groups: dict[str, list[Run]]) -> list[dict[str, str]]:
    """A row for each system of the five reports: its numbers, and what our recipe of it has reached. groups: as
    `report.readme.group_by_recipe` gives them."""
    rows = []
    for name, reported in REPORTED.items():
        recipe, runs = RECIPES[name], groups.get(name)
        if recipe.epochs != reported.epochs:  # a shorter form
            continue
        row = {
            "the report": reported.cite(),
            "its numbers": reported.describe(),
            "our recipe": f"`{name}`",
            "ours, last epoch": "not trained here",
            "against the report's best": "-",
            "training accuracy": "-",
        }
        if runs:
            ours = list_accuracies(runs)
            row["ours, last epoch"] = format_accuracy(runs)
            row["against the report's best"] = f"{100 * (mean(ours) - reported.best):+.2f} points"
            if not reported.measured:
                row["against the report's best"] += " (expected)"
            row["training accuracy"] = f"{mean(run.history[-1].train_accuracy for run in runs):.1%}"
        rows.append(row)
    return rows


def compare_corruptions(groups: dict[str, list[Run]]) -> list[dict[str, str]]:
    """A row for each recipe whose corrupted accuracies are kept beside its runs: on the clean pictures, and for each
    corruption the mean over its severities."""
    rows = []
    for name, (run, *_) in groups.items():
        if table := find_table(run):
            means = {kind: f"{value:.1%}" for kind, value in table.means.items()}
            rows.append({"recipe": f"`{name}`", "images": f"{table.images:,}", "clean": f"{table.clean:.1%}", **means})
    return rows


def compare_recipes(groups: dict[str, list[Run]]) -> list[dict[str, str]]:
    """A row for each published recipe: how it trains, how long, and on what. groups: as for `compare_reports`."""
    rows = []
    for name, runs in groups.items():
        recipe = RECIPES[name]
        also = {"label smoothing": recipe.label_smoothing, "dropout": recipe.dropout, "Muon": recipe.muon_lr}
        row = {
            "recipe": f"`{name}`",
            "schedule": recipe.schedule + (f", warm-up {recipe.warmup:.0%}" if recipe.warmup else ""),
            "rate": f"{recipe.lr:g}",
            "batch": str(recipe.batch_size),
            "also": ", ".join(f"{what} {value:g}" for what, value in also.items() if value) or "-",
            "augmentation": ", ".join(name_transforms(recipe.augmentation)),
            "time a run, and on what": format_times(runs),
        }
        rows.append(row)
    return rows


def name_transforms(augmentation: Augmentation) -> Iterator[str]:
    for name in list_transforms(augmentation):
        moved = augmentation.shift or augmentation.scale != (1.0, 1.0)
        yield "rotation" if name == "shift, scale, rotate" and not moved else name
    if augmentation.cutmix_alpha:
        yield "CutMix"
    if augmentation.mixup_alpha:
        yield "mixup"


def format_fall(first: float, last: float) -> str:
    return f"{first:.3f} to {last:.3f}, down by {1 - last / first:.0%}"


def list_results(run: Run, top1: float, top5: float, interval: tuple[float, float]) -> list[dict[str, str]]:
    """What a run has reached and cost, a row each. top1, top5, interval: of its saved weights, computed anew, 0..1."""
    first, final, best, metrics = run.history[0], run.history[-1], run.metrics["best"], run.metrics
    reached = {f"{float(level):.0%}": epoch for level, epoch in metrics["reached"].items() if epoch}
    lowest = min(run.history, key=lambda record: record.eval_loss)
    without = metrics.get("evaluation", {}).get("without_duplicates")
    values = {
        "top-1, last epoch, as logged": f"{final.eval_accuracy:.2%}",
        "top-1, saved weights, computed now": f"{top1:.2%}",
        "95 % interval, if other test pictures had been drawn (Wilson)": f"{interval[0]:.2%} to {interval[1]:.2%}",
        "top-5, computed now": f"{top5:.2%}",
        f"best epoch ({best['epoch']}), chosen on the {run.split} set": f"{best[f'{run.split}_accuracy']:.2%}",
        "training accuracy": f"{final.train_accuracy:.2%}",
        "gap, training minus test": f"{format_gap(final)} points",
        f"first epoch at {', '.join(reached) or 'a threshold'}": ", ".join(map(str, reached.values())) or "-",
        "training loss, first to last epoch": format_fall(first.train_loss, final.train_loss),
        "test loss, first to last epoch": format_fall(first.eval_loss, final.eval_loss),
        f"lowest test loss, in epoch {lowest.epoch}": f"{lowest.eval_loss:.3f}",
        "time, training and evaluation": format_seconds(metrics["seconds"]),
        "training images per second": f"{metrics['images_per_second']:,.0f}",
        "hardware": describe_machines(metrics),
    }
    if without:
        left_out = f"top-1 without {without['left_out']} test pictures that nearly repeat a training picture"
        values[left_out] = f"{without['top1']:.2%}"
    return [{"measure": name, f"{run.recipe.name}, seed {run.recipe.seed}": value} for name, value in values.items()]
