"""Where runs lie.

    output/<recipe>/seed<k>/    recipe.json, history.csv, metrics.json, weights.safetensors

A run grows in seed<k>.running beside it and replaces an older one only when it is complete.
"""

from pathlib import Path

from cifar100.errors import UserError
from cifar100.recipe import Recipe
from cifar100.recipes import RECIPES

RUN_FILES = ("recipe.json", "history.csv", "metrics.json", "weights.safetensors")


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
        if not has_weights(path):
            raise UserError(f"The run {path} has no weights.safetensors: train it again, as its recipe.json says.")
        return path
    seeds = [folder for folder in find_seeds(path) if has_weights(folder)]
    if not seeds:
        raise UserError(f"{path} holds no finished run with weights: train one, or name another folder.")
    return seeds[0]


def find_seeds(folder: Path) -> list[Path]:
    """The finished runs in a recipe's folder, by their seeds."""
    found = [path.parent for path in folder.glob("seed*/metrics.json") if path.parent.name[4:].isdigit()]
    return sorted(found, key=lambda run: int(run.name[4:]))


def find_published(output: str | Path = "output") -> list[Path]:
    """The folders of the finished runs on real data, recipes in the order of RECIPES, then seeds.
    Runs on the sample and on a hold-out lie deeper and are not among them."""
    names = list(RECIPES)
    folders = sorted(Path(output).glob("*/"))
    folders.sort(key=lambda folder: names.index(folder.name) if folder.name in names else len(names))
    return [run for folder in folders for run in find_seeds(folder)]


def find_usable(output: str | Path = "output") -> dict[str, Path]:
    """The run that stands for each published recipe, by its name: the lowest seed with weights."""
    chosen: dict[str, Path] = {}
    for folder in filter(has_weights, find_published(output)):
        chosen.setdefault(folder.parent.name, folder)
    return chosen


def has_weights(folder: Path) -> bool:
    return (folder / "weights.safetensors").is_file()
