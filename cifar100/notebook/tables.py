"""The tables that the main notebook shows: settings with their meaning, a training by ranges of epochs, targets."""

from itertools import pairwise
from statistics import median

from cifar100.recipe import Recipe
from cifar100.report.describe import list_events
from cifar100.report.reported import REPORTED
from cifar100.runs.history import EpochRecord

MEANINGS = {  # of a recipe's settings, in the order of the table
    "network": "which builder of model.py",
    "dropout": "share of the features that are switched off before the head",
    "epochs": "how often the training set is seen",
    "batch size": "images a step",
    "optimizer": "what turns gradients into steps",
    "lr": "the largest learning rate",
    "momentum": "share of the last step that the next one keeps",
    "nesterov": "look ahead along the momentum before the gradient is taken",
    "weight decay": "how strongly weights are pulled towards zero",
    "norm weight decay": "whether the norms' parameters are pulled, too",
    "muon lr": "learning rate of Muon, for the filters",
    "muon momentum": "its momentum",
    "schedule": "how the rate changes from step to step",
    "warmup": "share of the steps in which the rate rises",
    "milestones": "epochs after which the rate falls",
    "gamma": "factor by which it falls",
    "loss": "what is made small",
    "label smoothing": "share of the target that is spread over all classes",
    "ema decay": "share of the averaged weights that a step keeps",
    "resolutions": "(until this share of the steps, pixels), then 32",
    "pipeline": "albumentations: image by image; device: whole batches at once",
    "crop padding": "pixels around the picture before a random crop of 32x32",
    "crop border": "what lies in that padding",
    "flip": "mirror images",
    "shift": "at most this share of the side",
    "scale": "smallest and largest zoom",
    "rotation": "at most so many degrees",
    "affine probability": "of shift, zoom and rotation together",
    "cutout": "side of the square hole in pixels",
    "cutout probability": "of a hole",
    "jitter": "brightness, contrast, saturation, hue: at most so much",
    "jitter probability": "of any of these",
    "erasing": "probability of one rectangular hole of any shape",
    "cutmix alpha": "CutMix: shares are drawn from Beta(alpha, alpha)",
    "mixup alpha": "mixup: likewise",
    "mix probability": "of mixing a batch",
    "seed": "of every random draw",
}
DEPENDENT = {  # settings that say nothing while another one is switched off
    "nesterov": "momentum",
    "muon momentum": "muon lr",
    "gamma": "milestones",
    "crop border": "crop padding",
    "affine probability": ("shift", "rotation"),
    "cutout probability": "cutout",
    "jitter probability": "jitter",
    "mix probability": ("cutmix alpha", "mixup alpha"),
}


def as_markdown(rows: list[dict[str, str]]) -> str:
    """A table with a line for each row; all rows have the keys of the first, which are its head."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def explain_settings(recipe: Recipe) -> list[dict[str, str]]:
    """A row for each setting that plays a part in the recipe, defaults included: its value, and what it means."""
    values = recipe.to_dict()
    values |= values.pop("augmentation")
    values = {name.replace("_", " "): value for name, value in values.items()}
    values |= {"optimizer": "SGD", "loss": "cross-entropy"}
    if values["muon lr"]:
        values["optimizer"] = "Muon for the filters, SGD for the rest"
    used = {name: value for name, value in values.items() if not is_off(value) or name in ("seed", "warmup")}
    rows = []
    for name, meaning in MEANINGS.items():
        needs = DEPENDENT.get(name, ())
        needs = (needs,) if isinstance(needs, str) else needs
        if name in used and (not needs or any(need in used for need in needs)):
            rows.append({"setting": name, recipe.name: format_value(used[name]), "what it means": meaning})
    return rows


def is_off(value) -> bool:
    """Whether a setting does nothing."""
    if isinstance(value, list):
        return value == [1.0, 1.0] or not any(value)
    return value is None or value == "none" or (value == 0 and value is not False)


def format_value(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(format_value(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def summarise_ranges(history: list[EpochRecord], recipe: Recipe) -> list[dict[str, str]]:
    """A row for each range of epochs between two changes of the recipe (the whole run where it has none): the rate,
    what training and test accuracy do within it, and the gap between them at its end."""
    ends = sorted({round(epoch) for epoch in list_events(recipe) if 1 <= epoch < len(history)} | {len(history)})
    rows = []
    for first, last in zip([0, *ends], ends):
        steps = [abs(b.eval_accuracy - a.eval_accuracy) for a, b in pairwise(history[first:last])]
        start, end = history[first], history[last - 1]
        before = history[first - 1] if first else start
        rows.append(
            {
                "epochs": f"{first + 1}-{last}",
                "rate": f"{end.lr:.2g}",
                "training accuracy": f"{start.train_accuracy:.1%} to {end.train_accuracy:.1%}",
                "test accuracy": f"{start.eval_accuracy:.1%} to {end.eval_accuracy:.1%}",
                "gained by the first epoch": f"{100 * (start.eval_accuracy - before.eval_accuracy):+.1f} points"
                if first
                else "-",
                "typical change from epoch to epoch": f"{100 * median(steps):.1f} points" if steps else "-",
                "gap at the end": f"{100 * (end.train_accuracy - end.eval_accuracy):+.1f} points",
            }
        )
    return rows


def list_targets(recipe: Recipe, history: list[EpochRecord]) -> list[dict[str, str]]:
    """The course's target and the report's numbers, each with what this run reached after its last epoch."""
    final, best = history[-1].eval_accuracy, max(record.eval_accuracy for record in history)
    targets = {"the course asks for": (0.73, final)}
    if recipe.name in REPORTED:
        reported = REPORTED[recipe.name]
        targets["the report's best epoch"] = (reported.best, best)
        if reported.last:
            targets["the report's last epoch"] = (reported.last, final)
    return [
        {"target": name, "at least": f"{least:.2%}", "here": f"{here:.2%}", "reached": "yes" if here >= least else "no"}
        for name, (least, here) in targets.items()
    ]
