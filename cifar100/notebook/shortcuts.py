"""The first epochs of a recipe whose network has lost its shortcuts.

`python -m cifar100.notebook.shortcuts` trains those of resnet56_multistep, and keeps them as a CSV file.
"""

import tempfile
from itertools import islice
from pathlib import Path

from cifar100.explain.gradient_flow import without_shortcuts
from cifar100.recipe import Recipe
from cifar100.recipes import find_recipe
from cifar100.runs.checks import read_file
from cifar100.runs.history import EpochRecord, format_record, parse_history, save_history
from cifar100.runs.weights import make_network
from cifar100.training.fit import fit

FOLDER, EPOCHS = Path("output/resnet56_multistep/without_shortcuts"), 10


def load_without_shortcuts(recipe: Recipe, folder: Path = FOLDER) -> list[EpochRecord]:
    """The epochs as they are kept; where they are not, it trains them now."""
    if not (folder / "history.csv").exists():
        train_without_shortcuts(recipe, folder)
    return parse_history(read_file(folder / "history.csv"), folder / "history.csv")


def train_without_shortcuts(recipe: Recipe, folder: Path = FOLDER, epochs: int = EPOCHS) -> None:
    """Train the recipe for its first epochs, from the same weights and on the same images, but without shortcuts, and
    keep the records. What else `fit` writes goes with a temporary folder."""
    history = []
    with tempfile.TemporaryDirectory() as temporary:
        network = without_shortcuts(make_network(recipe))
        for record in islice(fit(recipe, output=temporary, network=network), epochs):
            history.append(record)
            print(format_record(record, recipe.epochs))
    save_history(folder, history)


if __name__ == "__main__":
    train_without_shortcuts(find_recipe("resnet56_multistep"))
