"""A tiny training set, so that whole runs take seconds."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cifar100.dataset.cifar import COARSE_OF_FINE, Images  # noqa: E402

os.environ.pop("CIFAR100_DATA", None)


def tiny_split(split: str, data=None) -> Images:
    """Images of one colour per class with noise: 300 to train on (three of each of 100 classes), 100 to test on."""
    generator = np.random.default_rng(0 if split == "train" else 1)
    fine = np.tile(np.arange(100), 3 if split == "train" else 1)
    colours = np.random.default_rng(2).integers(40, 216, (100, 1, 1, 3))
    images = colours[fine] + generator.integers(-40, 40, (len(fine), 32, 32, 3))
    return Images(images.astype(np.uint8), fine, COARSE_OF_FINE[fine])


def randomise_norms(network: nn.Module) -> nn.Module:
    """Give the norms values that a mistake in their place would show, as after a training run. In evaluation mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture
def tiny(monkeypatch):
    """Let every run train and evaluate on the tiny set."""
    monkeypatch.setattr("cifar100.dataset.cifar.load_split", tiny_split)


def make_run(output: Path, recipe=None, accuracy: float = 0.5) -> Path:
    """A finished run's folder with the first weights of the recipe (`smoke` unless another is given), and this accuracy
    after its one epoch."""
    from cifar100.network import make_network, save_weights
    from cifar100.recipes import SMOKE
    from cifar100.runs.find import run_folder
    from cifar100.runs.history import EpochRecord, save_history
    from cifar100.runs.run import make_metrics, save_recipe

    recipe = recipe or SMOKE
    folder = run_folder(recipe, output)
    folder.mkdir(parents=True)
    save_recipe(folder, recipe)
    save_weights(folder / "weights.safetensors", make_network(recipe), recipe)
    history = [EpochRecord(1, 0.1, 4.0, 0.1, 4.0, accuracy)]
    save_history(folder, history)
    facts = {"data": "CIFAR-100", "seconds": 1.0, "images_per_second": 1.0, "hardware": "abacus", "commit": None}
    metrics = make_metrics(recipe, history, folder, versions={"torch": "2"}, **facts)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


if __name__ == "__main__":  # python tests/conftest.py ARGUMENTS: the command line, tiny
    from dataclasses import replace

    import cifar100.dataset.cifar
    from cifar100.__main__ import main
    from cifar100.recipes import RECIPES
    from cifar100.stopping import listen

    cifar100.dataset.cifar.load_split = tiny_split
    for name, recipe in RECIPES.items():
        RECIPES[name] = replace(recipe, network="resnet20", muon_lr=None)
    listen()
    sys.exit(main(sys.argv[1:]))
