"""A finished run: the settings, the history and the metrics in its folder, read once and compared with one another."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from cifar100.errors import UserError
from cifar100.files import load_json, write_text
from cifar100.recipe import CHANGEABLE, Recipe
from cifar100.recipes import RECIPES
from cifar100.runs.checks import (
    FILES,
    check_metrics,
    checksum,
    compare_digest,
    load_trained_recipe,
    read_file,
)
from cifar100.runs.history import EpochRecord, parse_history

FOLDER_NAME = re.compile(r"[a-z0-9][a-z0-9_+.-]*", re.IGNORECASE)  # what a recipe may be called: its folder is
THRESHOLDS = (0.50, 0.60, 0.70, 0.73, 0.75, 0.80)  # test accuracies whose first epoch is reported


@dataclass(frozen=True, eq=False)
class Run:
    """What a finished run's folder holds."""

    folder: Path
    recipe: Recipe
    history: list[EpochRecord]
    metrics: dict  # of metrics.json
    weights: Path | None  # None where the run was published without them

    @classmethod
    def load(cls, folder: str | Path) -> "Run":
        """Raises UserError if a file is missing or damaged, lacks something, or contradicts another."""
        folder = Path(folder)
        path, table, weights = folder / "metrics.json", folder / FILES["history"], folder / FILES["weights"]
        metrics = load_json(path)
        check_metrics(metrics, path)
        content = read_file(table)
        recipe, history = load_recipe(folder), parse_history(content, table)
        compare_digest(table, content, metrics)
        if weights.is_file():
            compare_digest(weights, read_file(weights), metrics)
        for name, value in summarise_history(recipe, history).items():
            if metrics[name] != value:
                raise UserError(
                    f"{path} says {name} {metrics[name]!r} where recipe.json and history.csv give {value!r}: restore "
                    "them, or train the run again."
                )
        return cls(folder, recipe, history, metrics, weights if weights.is_file() else None)

    @property
    def split(self) -> str:
        """What it was measured on: "test", or "validation", images held out of the training set."""
        return self.history[-1].eval_split

    @property
    def sample(self) -> bool:
        """Whether its images are the embedded sample's."""
        return self.metrics["data"] == "sample"

    @property
    def command(self) -> str:
        """The command that makes it again."""
        named = RECIPES.get(self.recipe.name, self.recipe)
        values = {name: getattr(self.recipe, name) for name in CHANGEABLE}
        options = [f"--{k.replace('_', '-')} {v}" for k, v in values.items() if v != getattr(named, k)]
        options += ["--data sample"] if self.sample else []
        options += ["--holdout"] if self.split == "validation" else []
        return " ".join(["python -m cifar100 train", self.recipe.name, *options])


def load_metrics(folder: str | Path) -> dict:
    """What metrics.json says. Raises UserError as `Run.load` does."""
    return Run.load(folder).metrics


def is_finished(folder: Path, recipe: Recipe) -> bool:
    """Whether the folder holds a finished run of just this recipe. Raises UserError if a file of it is damaged."""
    return (folder / "metrics.json").is_file() and Run.load(folder).recipe == recipe


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
        if not FOLDER_NAME.fullmatch(recipe.name):
            raise ValueError("its name")
        return recipe
    except (UserError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} holds no settings of a recipe ({error}): restore it.") from error


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
