"""Which test pictures to show."""

from pathlib import Path

import numpy as np
from torch import nn

from cifar100.dataset.cifar import COARSE_OF_FINE, FINE_NAMES, Images, readable
from cifar100.explain.grad_cam import explain_stages
from cifar100.figures import plot_classification, save_figure

SHOWN_CLASSES = range(0, 100, 9)  # a dozen: apple, bottle, ..., worm


def pick_examples(probabilities: np.ndarray, labels: np.ndarray, right: bool, count: int) -> np.ndarray:
    """Indices of the pictures that the network is surest of and right (or wrong) about, surest first, at most one a
    superclass; fewer than `count` if there are no more. probabilities: (N, 100); labels: (N,) fine classes."""
    guesses = probabilities.argmax(1)
    order = np.argsort(-probabilities.max(1), kind="stable")
    order = order[(guesses == labels)[order] == right]
    _, first = np.unique(COARSE_OF_FINE[labels[order]], return_index=True)
    return order[np.sort(first)[:count]]


def save_showcase(
    network: nn.Module, name: str, test: Images, probabilities: np.ndarray, folder: str | Path
) -> list[Path]:
    """Save a figure for each of a dozen classes: the test picture of it that the network is surest of and right
    about, with Grad-CAM. A class that it never gets right has none; older figures in the folder go.

    name: of the recipe. Returns the files.
    """
    paths = []
    for old in Path(folder).glob("class_*.png"):
        old.unlink()
    for label in SHOWN_CLASSES:
        own = np.flatnonzero(test.fine == label)
        chosen = own[pick_examples(probabilities[own], test.fine[own], True, 1)]
        if len(chosen):
            image, shares = test.images[chosen[0]], probabilities[chosen[0]]
            maps = {layer: heatmaps[0] for layer, heatmaps in explain_stages(network, image[None]).items()}
            title = f"Class {label}, {readable(FINE_NAMES[label])}: the test picture that {name} is surest of"
            paths.append(Path(folder) / f"class_{label:03}_{FINE_NAMES[label]}.png")
            save_figure(plot_classification(image, shares, maps, title), paths[-1])
    return paths
