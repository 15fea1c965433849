"""Which test pictures to show, and the sheet of a dozen of them with their heatmaps."""

from pathlib import Path

import numpy as np
from torch import nn

from cifar100.dataset.cifar import COARSE_OF_FINE, FINE_NAMES, Images, readable
from cifar100.explain.grad_cam import enlarge, explain_stages
from cifar100.figures.explanation import plot_classification, plot_showcase
from cifar100.figures.style import Picture, save_figure

SIDE = 32  # pixels
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
) -> Picture:
    """Save a figure for each of a dozen classes: the test picture of it that the network is surest of and right
    about, with Grad-CAM. A class that it never gets right has none; older figures in the folder go.

    name: of the recipe. Returns a sheet of them all.
    """
    for old in Path(folder).glob("class_*.png"):
        old.unlink()
    images, captions, sheet = [], [], []
    for label in SHOWN_CLASSES:
        own = np.flatnonzero(test.fine == label)
        chosen = own[pick_examples(probabilities[own], test.fine[own], True, 1)]
        if len(chosen):
            image, shares, called = test.images[chosen[0]], probabilities[chosen[0]], readable(FINE_NAMES[label])
            maps = {layer: heatmaps[0] for layer, heatmaps in explain_stages(network, image[None]).items()}
            title = f"Class {label}, {called}: the test picture that {name} is surest of"
            path = Path(folder) / f"class_{label:03}_{FINE_NAMES[label]}.png"
            save_figure(plot_classification(image, shares, maps, title), path)
            images.append(image)
            captions.append(f"{called} {shares[label]:.0%}")
            sheet.append(enlarge(list(maps.values())[0][..., None], SIDE)[..., 0])
    title = "Of a dozen classes the surest picture, and where the last stage looks"
    return plot_showcase(np.reshape(images, (-1, SIDE, SIDE, 3)), captions, np.reshape(sheet, (-1, SIDE, SIDE)), title)
