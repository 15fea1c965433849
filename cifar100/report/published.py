"""The runs on the pages: the user's own, or else the published ones, recognised by the SHA-256 of their weights."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cifar100.recipes import RECIPES
from cifar100.runs.find import find_published
from cifar100.runs.run import Run

LIST = Path(__file__).with_name("published.json")  # recipe/seed<k> -> SHA-256; `python -m cifar100.report.published`


def load_published(output: str | Path = "output") -> list[Run]:
    """The finished runs on CIFAR-100 in output/<recipe>/seed<k>, in the order of RECIPES, then by seed, without copies.
    Raises UserError if one of them is damaged."""
    runs: dict[str, Run] = {}
    for run in map(Run.load, find_published(output)):
        if run.folder.parts[-2:] == (run.recipe.name, f"seed{run.recipe.seed}"):
            runs.setdefault(run.metrics["sha256"]["weights"], run)
    return list(runs.values())


def is_published(run: Run) -> bool:
    """Whether the weights are published with this project."""
    return run.metrics["sha256"]["weights"] in json.loads(LIST.read_text(encoding="utf-8")).values()


def group_by_recipe(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of each recipe: the user's own if there are any, else the published ones. Runs with other settings than
    the recipe's are left out."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        name, seed = run.recipe.name, run.recipe.seed
        if name in RECIPES and run.recipe == replace(RECIPES[name], seed=seed):
            groups.setdefault(name, []).append(run)
    return {name: [run for run in group if not is_published(run)] or group for name, group in groups.items()}


if __name__ == "__main__":  # for maintainers: mark all runs in output/ as published
    shipped = {"/".join(run.folder.parts[-2:]): run.metrics["sha256"]["weights"] for run in load_published()}
    LIST.write_text(json.dumps(shipped, indent=2) + "\n", encoding="utf-8")
