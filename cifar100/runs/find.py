"""The folders of runs.

    output/<recipe>/seed<k>/    recipe.json, history.csv, metrics.json, weights.safetensors

A run is trained in seed<k>.running beside it and replaces an older run only when it is complete.
"""

from pathlib import Path

from cifar100.errors import UserError
from cifar100.recipe import Recipe
from cifar100.recipes import RECIPES

RUN_FILES = ("recipe.json", "history.csv", "weights.safetensors", "metrics.json")  # the last one completes a run


def run_folder(recipe: Recipe, output: str | Path = "output", sample: bool = False, holdout: bool = False) -> Path:
    """The folder of the finished run."""
    root = Path(output) / "sample" if sample else Path(output)
    return root / recipe.name / ("holdout" if holdout else "") / f"seed{recipe.seed}"


def running_folder(folder: Path) -> Path:
    """The folder of the run until it is finished."""
    return folder.with_name(folder.name + ".running")


def find_run(path: str | Path) -> Path:
    """The run for a path: a run's folder itself, or in a recipe's folder the run with the lowest seed that has
    weights. Raises UserError if there is none."""
    path = Path(path)
    if (path / "metrics.json").is_file():
        if not has_weights(path):
            raise UserError(f"The run {path} has no weights.safetensors: train it again.")
        return path
    seeds = [folder for folder in find_seeds(path) if has_weights(folder)]
    if not seeds:
        raise UserError(f"{path} holds no finished run with weights: train one, or choose another folder.")
    return seeds[0]


def find_seeds(folder: Path) -> list[Path]:
    """The finished runs in a recipe's folder, sorted by seed."""
    found = [path.parent for path in folder.glob("seed*/metrics.json") if path.parent.name[4:].isdigit()]
    return sorted(found, key=lambda run: int(run.name[4:]))


def find_published(output: str | Path = "output") -> list[Path]:
    """The folders of the finished runs on CIFAR-100, in the order of RECIPES, then by seed; without those on the sample
    and on a hold-out, which are in deeper folders."""
    names = list(RECIPES)
    folders = sorted(Path(output).glob("*/"))
    folders.sort(key=lambda folder: names.index(folder.name) if folder.name in names else len(names))
    return [run for folder in folders for run in find_seeds(folder)]


def find_usable(output: str | Path = "output") -> dict[str, Path]:
    """One run per published recipe, by its name: the lowest seed with weights."""
    chosen: dict[str, Path] = {}
    for folder in filter(has_weights, find_published(output)):
        chosen.setdefault(folder.parent.name, folder)
    return chosen


def has_weights(folder: Path) -> bool:
    return (folder / "weights.safetensors").is_file()
