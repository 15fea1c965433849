"""A tiny training set, so that whole runs take seconds."""

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
    """Pictures of one colour a class with noise: 300 to train on (three of each of 100 classes), 100 to test on."""
    generator = np.random.default_rng(0 if split == "train" else 1)
    fine = np.tile(np.arange(100), 3 if split == "train" else 1)
    colours = np.random.default_rng(2).integers(40, 216, (100, 1, 1, 3))
    images = colours[fine] + generator.integers(-40, 40, (len(fine), 32, 32, 3))
    return Images(images.astype(np.uint8), fine, COARSE_OF_FINE[fine])


def randomise_norms(network: nn.Module) -> nn.Module:
    """Give the norms values that a mistake in their place would show, as after a training. In evaluation mode."""
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


def make_run(root: Path) -> Path:
    """A finished run's folder with the first weights of `smoke` and a made-up history: root/output/smoke/seed0."""
    from cifar100.network import make_network, save_weights
    from cifar100.recipes import SMOKE
    from cifar100.runs.find import run_folder
    from cifar100.runs.history import EpochRecord, save_history
    from cifar100.runs.run import make_metrics

    folder = run_folder(SMOKE, root / "output")
    folder.mkdir(parents=True)
    history = [EpochRecord(k, 0.05 / k, 4.5 - k / 7, 0.1 * k, 4.25 - k / 9, 0.125 * k) for k in range(1, 7)]
    (folder / "recipe.json").write_text(SMOKE.to_json() + "\n")
    save_history(folder, history)
    save_weights(folder / "weights.safetensors", make_network(SMOKE), SMOKE)
    facts = {"data": "CIFAR-100", "seconds": 61.5, "images_per_second": 128.5, "hardware": "abacus, 2 threads"}
    metrics = make_metrics(SMOKE, history, folder, versions={"torch": "2.5"}, commit="0" * 40, **facts)
    (folder / "metrics.json").write_text(metrics)
    return folder


if __name__ == "__main__":  # python tests/conftest.py ARGUMENTS: the command line, tiny
    from dataclasses import replace

    import cifar100.dataset.cifar
    from cifar100.__main__ import main
    from cifar100.stopping import listen
    from cifar100.recipes import RECIPES

    cifar100.dataset.cifar.load_split = tiny_split
    for name, recipe in RECIPES.items():
        RECIPES[name] = replace(recipe, network="resnet20", muon_lr=None)
    listen()
    sys.exit(main(sys.argv[1:]))
