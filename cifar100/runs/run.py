"""The folder of a run: where it lies and what is in it.

    output/<recipe>/seed<k>/    recipe.json, history.csv, metrics.json, weights.safetensors

A run grows in seed<k>.running beside it and replaces an older one only when it is complete.
"""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from cifar100.errors import UserError
from cifar100.files import load_json, write_text
from cifar100.recipe import CHANGEABLE, Recipe
from cifar100.recipes import RECIPES
from cifar100.runs.checks import (
    FILES,
    LARGEST,
    check_metrics,
    checksum,
    compare_checksum,
    is_number,
    is_plain,
    load_trained_recipe,
)

METRICS = (
    *("recipe", "seed", "epochs", "final", "best", "reached", "data", "seconds", "images_per_second"),
    *("hardware", "versions", "commit", "sha256"),
)  # the keys of every metrics.json; "machines" where there were several, and "evaluation"
RUN_FILES = ("recipe.json", "history.csv", "metrics.json", "weights.safetensors")
THRESHOLDS = (0.50, 0.60, 0.70, 0.73, 0.75, 0.80)  # test accuracies whose first epoch is reported


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. Losses are means over images; accuracies are top-1, 0..1.

    The training figures are taken while the network learns: on augmented images, and with the
    recipe's label smoothing in the loss. The evaluation is plain.
    """

    epoch: int  # from 1
    lr: float  # of SGD in the epoch's last step
    train_loss: float
    train_accuracy: float
    eval_loss: float
    eval_accuracy: float
    eval_split: str = "test"  # or "validation": images held out of the training set

    def to_row(self) -> dict:
        return {
            "epoch": self.epoch,
            "lr": float(f"{self.lr:.6g}"),
            "train_loss": round(self.train_loss, 6),
            "train_accuracy": round(self.train_accuracy, 6),
            f"{self.eval_split}_loss": round(self.eval_loss, 6),
            f"{self.eval_split}_accuracy": round(self.eval_accuracy, 6),
        }

    @classmethod
    def from_row(cls, row: dict) -> "EpochRecord":
        split = "validation" if "validation_loss" in row else "test"
        names = ("lr", "train_loss", "train_accuracy", f"{split}_loss", f"{split}_accuracy")
        values = {name: float(row[name]) for name in names}
        for name, value in values.items():
            if not is_number(value, 0, 1 if name.endswith("accuracy") else LARGEST):
                raise ValueError(f"{name} {value}")
        return cls(int(row["epoch"]), *values.values(), split)


def run_folder(recipe: Recipe, output: str | Path = "output", sample: bool = False, holdout: bool = False) -> Path:
    """Where the finished run lies."""
    root = Path(output) / "sample" if sample else Path(output)
    return root / recipe.name / ("holdout" if holdout else "") / f"seed{recipe.seed}"


def running_folder(folder: Path) -> Path:
    """Where the run grows until it is finished."""
    return folder.with_name(folder.name + ".running")


def find_run(path: str | Path) -> Path:
    """The run that a path means: a run's folder itself, or for a recipe's folder the run with
    the lowest seed that has weights. Raises UserError if there is none."""
    path = Path(path)
    if (path / "metrics.json").is_file():
        if not (path / "weights.safetensors").is_file():
            raise UserError(f"The run {path} has no weights.safetensors: train it with `{train_command(path)}`.")
        return path
    folders = [p.parent for p in path.glob("seed*/weights.safetensors") if (p.parent / "metrics.json").is_file()]
    seeds = [folder for folder in folders if folder.name[4:].isdigit()]
    if not seeds:
        raise UserError(f"{path} holds no finished run with weights: train one, or name another folder.")
    return min(seeds, key=lambda folder: int(folder.name[4:]))


def train_command(folder: Path) -> str:
    """The command that makes a run again."""
    recipe = load_recipe(folder)
    named = RECIPES.get(recipe.name, recipe)
    changes = [
        f" --{f.replace('_', '-')} {getattr(recipe, f)}" for f in CHANGEABLE if getattr(recipe, f) != getattr(named, f)
    ]
    return f"python -m cifar100 train {recipe.name}" + "".join(changes)


def is_finished(folder: Path, recipe: Recipe) -> bool:
    """Whether the folder holds a finished run of just this recipe. Raises UserError if a file of it is damaged."""
    if not (folder / "metrics.json").is_file():
        return False
    check_run(folder)
    return load_recipe(folder) == recipe


def holds_another(folder: Path, recipe: Recipe) -> bool:
    """Whether the folder holds a finished run that the recipe's would replace by different settings, or one whose
    settings are damaged: to be trained again is the way out of that."""
    try:
        return (folder / "metrics.json").is_file() and load_recipe(folder) != recipe
    except UserError:
        return True


def save_recipe(folder: Path, recipe: Recipe) -> None:
    write_text(folder / "recipe.json", json.dumps(recipe.to_dict(), indent=2) + "\n")


def load_recipe(folder: Path) -> Recipe:
    """Raises UserError if recipe.json is missing or damaged, or names other settings than the weights beside it."""
    path = folder / "recipe.json"
    recipe = read_settings(load_json(path), path)
    trained = load_trained_recipe(folder / FILES["weights"])
    if trained is not None:
        ours, theirs = recipe.to_dict(), read_settings(trained, folder / FILES["weights"]).to_dict()
        for name in ours:
            if ours[name] != theirs[name]:
                raise UserError(
                    f"{path} names another {name} than the weights beside it ({ours[name]!r}, not {theirs[name]!r}): "
                    "restore it, or train the run again."
                )
    return recipe


def read_settings(settings: dict, path: Path) -> Recipe:
    """The recipe in a file that may be damaged. Raises UserError for anything but a recipe."""
    try:
        recipe = Recipe.from_dict(settings)
        if not is_plain(recipe.name):
            raise ValueError("its name")
        return recipe
    except (UserError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} holds no settings of a recipe ({error}): restore it.") from error


def load_metrics(folder: Path) -> dict:
    """Raises UserError if metrics.json is missing or damaged, lacks what every run has, or contradicts recipe.json or
    history.csv."""
    path = folder / "metrics.json"
    metrics = load_json(path)
    missing = [name for name in METRICS if name not in metrics]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: restore it, or train the run again.")
    unknown = set(metrics) - {*METRICS, "machines", "evaluation"}
    if unknown:
        raise UserError(f"{path} is damaged (no run has {min(unknown)!r}): restore it, or train the run again.")
    check_metrics(metrics, path)
    for name, value in summarise_history(load_recipe(folder), load_history(folder)).items():
        if metrics[name] != value:
            raise UserError(
                f"{path} says {name} {metrics[name]!r} where recipe.json and history.csv give {value!r}: restore them, "
                "or train the run again."
            )
    return metrics


def check_run(folder: Path) -> dict:
    """`load_metrics`, and the weights compared with it, where a run was published with them. Raises UserError if
    anything is damaged."""
    metrics = load_metrics(folder)
    if (folder / FILES["weights"]).is_file():
        compare_checksum(folder, "weights")
    return metrics


def save_history(folder: Path, history: list[EpochRecord]) -> None:
    text = io.StringIO()
    rows = [record.to_row() for record in history]
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "history.csv", text.getvalue())


def load_history(folder: Path) -> list[EpochRecord]:
    """Raises UserError if history.csv is missing, damaged, lacks an epoch, or is not the one of metrics.json."""
    path = folder / "history.csv"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            history = [EpochRecord.from_row(row) for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error!r}): restore it, or train the run again.") from error
    if not history or [record.epoch for record in history] != list(range(1, len(history) + 1)):
        raise UserError(f"{path} does not hold every epoch from the first on: restore it, or train the run again.")
    compare_checksum(folder, "history")
    return history


def make_metrics(recipe: Recipe, history: list[EpochRecord], folder: Path, **facts) -> dict:
    """What metrics.json holds. folder: with the run's weights and history; facts: data
    ("CIFAR-100" or "sample"), seconds, images_per_second, hardware, versions, commit."""
    checksums = {kind: checksum(folder / file) for kind, file in FILES.items()}
    return summarise_history(recipe, history) | facts | {"sha256": checksums}


def summarise_history(recipe: Recipe, history: list[EpochRecord]) -> dict:
    """The part of metrics.json that follows from the settings and the epochs."""

    def row(record: EpochRecord) -> dict:
        return {name: value for name, value in record.to_row().items() if name != "lr"}

    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "final": row(history[-1]),
        "best": row(max(history, key=lambda record: record.eval_accuracy)),
        "reached": {f"{t:.2f}": next((r.epoch for r in history if r.eval_accuracy >= t), None) for t in THRESHOLDS},
    }
