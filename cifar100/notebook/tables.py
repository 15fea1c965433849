"""What the main notebook shows as text: the code of its rooms, and the tables of a run and of all recipes."""

import ast
import inspect
from itertools import pairwise
from statistics import mean, median

from cifar100 import recipes
from cifar100.eda.augmentations import list_transforms
from cifar100.recipe import Recipe
from cifar100.report.describe import list_events
from cifar100.report.reported import list_levels
from cifar100.runs.history import EpochRecord, format_seconds
from cifar100.runs.run import Run

FIRST_EPOCHS = 10  # that have a row of their own where the first range is long
EDGE = 5  # epochs whose mean stands for the beginning or the end of a range


def as_code(*parts) -> str:
    """Markdown with the source of classes and functions, or with text that is code, highlighted."""
    texts = [part if isinstance(part, str) else inspect.getsource(part) for part in parts]
    return "```python\n" + "\n\n\n".join(text.strip("\n") for text in texts) + "\n```"


def recipe_source(name: str) -> str:
    """The code of a recipe in recipes.py, after that of the recipe which it changes, if it changes one."""
    text, code, changed = inspect.getsource(recipes), {}, {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            (variable,), first = node.targets, node.value.args[:1]
            code[variable.id] = ast.get_source_segment(text, node)
            changed[variable.id] = first[0].id if first else None
    own = next(variable for variable in code if getattr(recipes, variable) == recipes.RECIPES[name])
    return (recipe_source(getattr(recipes, changed[own]).name) + "\n\n" if changed[own] else "") + code[own]


def as_markdown(rows: list[dict[str, str]]) -> str:
    """A table with a line for each row; all rows have the keys of the first, which are its head."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summarise_ranges(history: list[EpochRecord], recipe: Recipe) -> list[dict[str, str]]:
    """A row for each range of epochs between two changes of the recipe, and for the first epochs. What a range begins
    and ends with are means of EDGE epochs, or of half the range, since single epochs jump; but the very first epoch
    stands alone."""
    changes = {round(epoch) for epoch in list_events(recipe) if 1 <= epoch < len(history)}
    ends = changes | {len(history)}
    ends = sorted(ends | ({FIRST_EPOCHS} if min(ends) > 2 * FIRST_EPOCHS else set()))
    rows = []
    for first, last in zip([0, *ends], ends):
        edge = min(EDGE, max(1, (last - first) // 2))
        start, end = history[first : first + (edge if first else 1)], history[last - edge : last]
        train, test = ([mean_of(part, kind) for part in (start, end)] for kind in ("train_accuracy", "eval_accuracy"))
        steps = [abs(b.eval_accuracy - a.eval_accuracy) for a, b in pairwise(history[first:last])]
        gained = history[first].eval_accuracy - mean_of(history[max(0, first - EDGE) : first or 1], "eval_accuracy")
        rows.append(
            {
                "epochs": f"{first + 1}-{last}",
                "rate at the end": f"{history[last - 1].lr:.2g}",
                "training accuracy": f"{train[0]:.1%} to {train[1]:.1%}",
                "test accuracy": f"{test[0]:.1%} to {test[1]:.1%}",
                f"first epoch, against the {EDGE} before it": f"{100 * gained:+.1f} points"
                if first in changes
                else "-",
                "typical change from epoch to epoch": f"{100 * median(steps):.1f} points" if steps else "-",
                "gap": " to ".join(f"{100 * (a - b):+.1f}" for a, b in zip(train, test)) + " points",
            }
        )
    return rows


def mean_of(records: list[EpochRecord], quantity: str) -> float:
    return mean(getattr(record, quantity) for record in records)


def list_results(run: Run, top1: float, top5: float, interval: tuple[float, float]) -> list[dict[str, str]]:
    """What a run has reached and cost, a row each. top1, top5, interval: of its saved weights, computed anew, 0..1."""
    final, best, reached = run.history[-1], run.metrics["best"], run.metrics["reached"]
    lowest = min(run.history, key=lambda record: record.eval_loss)
    values = {}
    for name, level in list_levels(run.recipe.name).items():
        missed = f"missed by {100 * (level - final.eval_accuracy):.2f} points"
        verdict = "reached" if final.eval_accuracy >= level else missed
        values[f"top-1, last epoch ({name} {level:.2%})"] = f"{final.eval_accuracy:.2%}, {verdict}"
    values |= {
        "top-1, saved weights, computed now": f"{top1:.2%}",
        "95 % interval, if other test images had been drawn (Wilson)": f"{interval[0]:.2%} to {interval[1]:.2%}",
        "top-5, computed now": f"{top5:.2%}",
        f"best epoch ({best['epoch']}), chosen on the {run.split} set": f"{best[f'{run.split}_accuracy']:.2%}",
        "training accuracy": f"{final.train_accuracy:.2%}",
        "gap, training minus test": f"{100 * (final.train_accuracy - final.eval_accuracy):+.1f} points",
        "first epoch at": ", ".join(f"{float(level):.0%}: {epoch}" for level, epoch in reached.items() if epoch) or "-",
        f"lowest test loss, in epoch {lowest.epoch}": f"{lowest.eval_loss:.3f}",
        "time, and on what": f"{format_seconds(run.metrics['seconds'])}, {run.machines}",
    }
    if without := run.metrics.get("evaluation", {}).get("without_duplicates"):
        left_out = f"top-1 without {without['left_out']} test images that nearly repeat a training image"
        values[left_out] = f"{without['top1']:.2%}"
    return [{"measure": name, f"{run.recipe.name}, seed {run.recipe.seed}": value} for name, value in values.items()]


def compare_recipes(groups: dict[str, list[Run]]) -> list[dict[str, str]]:
    """A row for each published recipe: how it trains, and how well it then fits its training images. groups: the
    published runs of each recipe."""
    rows = []
    for name, runs in groups.items():
        recipe, a = recipes.RECIPES[name], recipes.RECIPES[name].augmentation
        also = {"label smoothing": recipe.label_smoothing, "dropout": recipe.dropout, "Muon": recipe.muon_lr}
        transforms = [*list_transforms(a), *(["CutMix"] if a.cutmix_alpha else [])]
        only_rotates = not a.shift and a.scale == (1.0, 1.0)
        words = ["rotate" if only_rotates and "rotate" in transform else transform for transform in transforms]
        rows.append(
            {
                "recipe": f"`{name}`",
                "schedule": recipe.schedule,
                "largest rate": f"{recipe.lr:g}",
                "batch": f"{recipe.batch_size}",
                "also": ", ".join(f"{what} {value:g}" for what, value in also.items() if value) or "-",
                "augmentation": ", ".join(words),
                "training accuracy": f"{mean(run.history[-1].train_accuracy for run in runs):.1%}",
            }
        )
    return rows
