"""The tables that the main notebook shows: settings with their meaning, a training by ranges of epochs, targets."""

from itertools import pairwise
from statistics import mean, median

from cifar100.evaluation.corruptions import find_table
from cifar100.recipe import Recipe
from cifar100.recipes import RECIPES
from cifar100.report.describe import list_events
from cifar100.report.readme import format_accuracy, list_accuracies
from cifar100.report.reported import REPORTED
from cifar100.runs.history import EpochRecord, format_seconds
from cifar100.runs.machines import describe_machines
from cifar100.runs.run import Run

MEANINGS = {  # of a recipe's settings, in the order of the table
    "network": "which builder of model.py",
    "dropout": "share of the features that are switched off before the head",
    "epochs": "how often the training set is seen",
    "batch size": "images per step",
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
WARM_START = 10  # epochs that are told by themselves where the first range is long
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
    """A table with a line for each row; all rows have the keys of the first, which are its head. Nothing
    without rows."""
    if not rows:
        return ""
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
    """A row for each range of epochs between two changes of the recipe, and for the warm start before the first one:
    the rate, what training and test accuracy do within it, and the gap between them at both ends."""
    ends = {round(epoch) for epoch in list_events(recipe) if 1 <= epoch < len(history)} | {len(history)}
    ends = sorted(ends | ({WARM_START} if min(ends) > 2 * WARM_START else set()))
    rows = []
    for first, last in zip([0, *ends], ends):
        steps = [abs(b.eval_accuracy - a.eval_accuracy) for a, b in pairwise(history[first:last])]
        start, end = history[first], history[last - 1]
        before = history[first - 1] if first else start
        rows.append(
            {
                "epochs": f"{first + 1}-{last}",
                "rate at the end": f"{end.lr:.2g}",
                "training accuracy": f"{start.train_accuracy:.1%} to {end.train_accuracy:.1%}",
                "test accuracy": f"{start.eval_accuracy:.1%} to {end.eval_accuracy:.1%}",
                "gained in its first epoch": f"{100 * (start.eval_accuracy - before.eval_accuracy):+.1f} points"
                if first
                else "-",
                "typical change from epoch to epoch": f"{100 * median(steps):.1f} points" if steps else "-",
                "gap, first to last epoch": f"{format_gap(start)} to {format_gap(end)} points",
            }
        )
    return rows


def format_gap(record: EpochRecord) -> str:
    """Training minus test accuracy, in points."""
    return f"{100 * (record.train_accuracy - record.eval_accuracy):+.1f}"


def list_targets(recipe: Recipe, history: list[EpochRecord], runs: list[Run]) -> list[dict[str, str]]:
    """The course's target and the report's numbers, each with what this run reached, and what the mean of the recipe's
    published runs reached where there are several seeds."""
    final, best = history[-1].eval_accuracy, max(record.eval_accuracy for record in history)
    targets = {"the course asks for": (0.73, final, "final")}
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
    return f"{accuracy:.2%}, {'reached' if accuracy >= least else 'missed'}"


def compare_reports(groups: dict[str, list[Run]]) -> list[dict[str, str]]:
    """A row for each system of the five reports: its numbers, and what our recipe of it has reached. groups: as
    `report.readme.group_by_recipe` gives them."""
    rows = []
    for name, reported in REPORTED.items():
        recipe, runs = RECIPES[name], groups.get(name)
        if not runs and recipe.epochs != reported.epochs:  # the shorter forms only where they have a result
            continue
        row = {"recipe": f"`{name}`", "the report": reported.describe(), "ours, last epoch": "not trained here"}
        row |= {"against the report's best": "-", "training accuracy": "-"}
        if runs:
            ours = list_accuracies(runs)
            row["ours, last epoch"] = f"{format_accuracy(runs)}, {recipe.epochs:g} epochs"
            row["against the report's best"] = f"{100 * (mean(ours) - reported.best):+.2f} points"
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
            rows.append({"recipe": f"`{name}`", "clean": f"{table.clean:.1%}", **means})
    return rows


def list_results(run: Run, top1: float, top5: float, interval: tuple[float, float]) -> list[dict[str, str]]:
    """What a run has reached and cost, a row each. top1, top5, interval: of its saved weights, computed anew, 0..1."""
    final, best, metrics = run.history[-1], run.metrics["best"], run.metrics
    without = metrics.get("evaluation", {}).get("without_duplicates")
    values = {
        "top-1, last epoch, as logged": f"{final.eval_accuracy:.2%}",
        "top-1, saved weights, computed now": f"{top1:.2%}",
        "95 % interval, if other test pictures had been drawn (Wilson)": f"{interval[0]:.2%} to {interval[1]:.2%}",
        "top-5, computed now": f"{top5:.2%}",
        f"best epoch ({best['epoch']}), chosen on the {run.split} set": f"{best[f'{run.split}_accuracy']:.2%}",
        "training accuracy": f"{final.train_accuracy:.2%}",
        "gap, training minus test": f"{format_gap(final)} points",
        "training loss, first to last epoch": f"{run.history[0].train_loss:.3f} to {final.train_loss:.3f}",
        "test loss, first to last epoch": f"{run.history[0].eval_loss:.3f} to {final.eval_loss:.3f}",
        "time, training and evaluation": format_seconds(metrics["seconds"]),
        "training images per second": f"{metrics['images_per_second']:,.0f}",
        "hardware": describe_machines(metrics),
    }
    if without:
        left_out = f"top-1 without {without['left_out']} test pictures that nearly repeat a training picture"
        values[left_out] = f"{without['top1']:.2%}"
    return [{"measure": name, f"{run.recipe.name}, seed {run.recipe.seed}": value} for name, value in values.items()]
