"""resnet56_multistep without its shortcuts, the first epochs: `python -m cifar100.notebook.shortcuts` trains them."""

import tempfile
from itertools import islice
from pathlib import Path

from cifar100.explain.gradient_flow import without_shortcuts
from cifar100.network import make_network
from cifar100.recipe import Recipe
from cifar100.recipes import find_recipe
from cifar100.runs.history import EpochRecord, format_record, load_history, save_history
from cifar100.train import fit

FOLDER, EPOCHS = Path("output/resnet56_multistep/without_shortcuts"), 10


def load_without_shortcuts(recipe: Recipe, folder: Path = FOLDER) -> list[EpochRecord]:
    """The epochs that history.csv in this folder keeps. If there is none, they are trained now, from the recipe's own
    weights and on its images, and kept; what else `fit` writes goes with a temporary folder."""
    if not (folder / "history.csv").exists():
        history = []
        with tempfile.TemporaryDirectory() as temporary:
            network = without_shortcuts(make_network(recipe))
            for record in islice(fit(recipe, output=temporary, network=network), EPOCHS):
                history.append(record)
                print(format_record(record, recipe.epochs))
        save_history(folder, history)
    return load_history(folder)


if __name__ == "__main__":
    load_without_shortcuts(find_recipe("resnet56_multistep"))
