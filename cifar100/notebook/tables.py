"""What the main notebook shows as text: the code of its rooms, and the tables of a run and of all recipes."""

import inspect
import re
from statistics import mean

import numpy as np

from cifar100 import recipes
from cifar100.eda.augmentations import list_transforms
from cifar100.evaluation.metrics import top_accuracy, wilson_interval
from cifar100.figures.training import list_events
from cifar100.recipe import Recipe
from cifar100.report.reported import list_levels
from cifar100.runs.history import EpochRecord, format_seconds
from cifar100.runs.run import Run

FIRST_EPOCHS = 10  # that have a row of their own where the first range is long
EDGE = 5  # epochs whose mean stands for the beginning or the end of a range


def as_code(*parts) -> str:
    """Markdown with the source of classes and functions, or with text that is code, highlighted."""
    texts = [part if isinstance(part, str) else inspect.getsource(part) for part in parts]
    code = "\n\n\n".join(text.strip("\n") for text in texts)
    return f'<div style="font-family: monospace">\n\n```python\n{code}\n```\n\n</div>'  # nbconvert's pages need the div


def recipe_source(name: str) -> str:
    """The code of a recipe in recipes.py, after that of the recipe which it changes, if it changes one."""
    variable = next(own for own, value in vars(recipes).items() if own.isupper() and value == recipes.RECIPES[name])
    code = re.search(rf"^{variable} = .*?^\)", inspect.getsource(recipes), re.MULTILINE | re.DOTALL)[0]
    changed = re.match(r"\w+ = replace\(\s*(\w+)", code)
    return (recipe_source(getattr(recipes, changed[1]).name) + "\n\n" if changed else "") + code


def as_markdown(rows: list[dict[str, str]]) -> str:
    """A table with a line for each row; all rows have the keys of the first, which are its head."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summarise_ranges(history: list[EpochRecord], recipe: Recipe) -> list[dict[str, str]]:
    """A row per range of epochs between two changes of rate or image size. Its first and last values are means over up
    to EDGE epochs, because single epochs fluctuate; epoch 1 is shown alone. Leap: test accuracy of the range's first
    epoch minus the mean of the EDGE epochs before it."""
    changes = {round(epoch) for epoch in list_events(recipe) if 1 <= epoch < len(history)}
    ends = changes | {len(history)}
    ends = sorted(ends | ({FIRST_EPOCHS} if min(ends) > 2 * FIRST_EPOCHS else set()))
    train, test = 100 * np.array([(record.train_accuracy, record.eval_accuracy) for record in history]).T
    rows = []
    for first, last in zip([0, *ends], ends):
        edge = min(EDGE, max(1, (last - first) // 2))
        start, end = slice(first, first + (edge if first else 1)), slice(last - edge, last)
        leap = test[first] - test[max(0, first - EDGE) : first].mean() if first in changes else None
        row = {"epochs": f"{first + 1}-{last}", "rate at the end": f"{history[last - 1].lr:.2g}"}
        row["training %"], row["test %"] = (f"{of[start].mean():.1f} to {of[end].mean():.1f}" for of in (train, test))
        row["leap"] = "-" if leap is None else f"{leap:+.1f}"
        row["typical change"] = f"{np.median(np.abs(np.diff(test[first:last]))):.1f}" if last - first > 1 else "-"
        row["gap"] = f"{(train - test)[start].mean():+.1f} to {(train - test)[end].mean():+.1f}"
        rows.append(row)
    return rows


def list_results(run: Run, logits: np.ndarray, labels: np.ndarray) -> list[dict[str, str]]:
    """What a run has reached and cost. logits: (N, 100), computed now from its saved weights; labels: (N,) classes."""
    top1, top5 = (top_accuracy(logits, labels, count) for count in (1, 5))
    least, most = wilson_interval(round(top1 * len(labels)), len(labels))
    final, best, reached = run.history[-1], run.metrics["best"], run.metrics["reached"]
    lowest, gap = min(run.history, key=lambda record: record.eval_loss), final.train_accuracy - final.eval_accuracy
    values = {"top-1, last epoch": f"{final.eval_accuracy:.2%}"}
    for name, level in list_levels(run.recipe.name).items():
        missed = f"missed by {100 * (level - final.eval_accuracy):.2f} points"
        values[f"{name}: {level:.2%}"] = "reached" if final.eval_accuracy >= level else missed
    values |= {
        "top-1, saved weights, computed now": f"{top1:.2%}",
        "95% confidence interval (Wilson score)": f"{least:.2%} to {most:.2%}",
        "top-5, computed now": f"{top5:.2%}",
        f"best epoch ({best['epoch']}), chosen on the {run.split} set": f"{best[f'{run.split}_accuracy']:.2%}",
        "training accuracy": f"{final.train_accuracy:.2%}, {100 * gap:+.1f} points from the test",
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
        transforms = ", ".join([*list_transforms(a), *["CutMix"] * bool(a.cutmix_alpha)])
        row = {
            "recipe": f"`{name}`",
            "schedule": recipe.schedule,
            "largest rate (SGD)": f"{recipe.lr:g}",
            "batch": f"{recipe.batch_size}",
            "also": ", ".join(f"{what} {value:g}" for what, value in also.items() if value) or "-",
            "augmentation": transforms if a.shift else transforms.replace("shift, scale, rotate", "rotate"),
            "training accuracy": f"{mean(run.history[-1].train_accuracy for run in runs):.1%}",
        }
        rows.append(row)
    return rows
