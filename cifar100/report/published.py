"""The runs that the pages show: the project's, known by the SHA-256 of their weights, or else a user's own alone."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cifar100.recipes import RECIPES
from cifar100.runs.find import find_published
from cifar100.runs.run import Run

LIST = Path(__file__).with_name("published.json")  # recipe/seed<k> -> SHA-256; `python -m cifar100.report.published`


def load_published(output: str | Path = "output") -> list[Run]:
    """The finished runs on real data in output/<recipe>/seed<k>, recipes in the order of RECIPES, then seeds; no copies
    of a run under another name. Raises UserError if one of them is damaged."""
    runs: dict[str, Run] = {}
    for run in map(Run.load, find_published(output)):
        if run.folder.parts[-2:] == (run.recipe.name, f"seed{run.recipe.seed}"):
            runs.setdefault(run.metrics["sha256"]["weights"], run)
    return list(runs.values())


def is_published(run: Run) -> bool:
    """Whether these are weights that the project ships with."""
    return run.metrics["sha256"]["weights"] in json.loads(LIST.read_text(encoding="utf-8")).values()


def group_by_recipe(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Every recipe's runs, seeds together: a user's own if there are any, else the project's. A run whose settings are
    not the recipe's is in no group."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        name, seed = run.recipe.name, run.recipe.seed
        if name in RECIPES and run.recipe == replace(RECIPES[name], seed=seed):
            groups.setdefault(name, []).append(run)
    return {name: [run for run in group if not is_published(run)] or group for name, group in groups.items()}


if __name__ == "__main__":  # for the project alone: name all that lies in output/ as published
    shipped = {"/".join(run.folder.parts[-2:]): run.metrics["sha256"]["weights"] for run in load_published()}
    LIST.write_text(json.dumps(shipped, indent=2) + "\n", encoding="utf-8")
