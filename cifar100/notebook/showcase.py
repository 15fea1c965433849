"""Which test images to show, and a sheet of typical and borderline ones with their heatmaps."""

from pathlib import Path

import numpy as np
from torch import nn

from cifar100.dataset.cifar import COARSE_OF_FINE, FINE_NAMES, Images, readable
from cifar100.evaluation.probabilities import softmax
from cifar100.explain.grad_cam import explain_stages
from cifar100.figures.explanation import plot_classification, plot_showcase
from cifar100.figures.style import Picture, percent, save_figure

SHOWN_CLASSES = range(0, 100, 18)  # apple, caterpillar, hamster, orchid, seal, train


def pick_examples(probabilities: np.ndarray, labels: np.ndarray, right: bool, count: int) -> np.ndarray:
    """Indices of the most confident right (or wrong) predictions, the most confident first, at most one of each
    superclass; fewer than `count` if there are no more. probabilities: (N, 100); labels: (N,) classes."""
    order = np.argsort(-probabilities.max(1), kind="stable")
    order = order[(probabilities.argmax(1) == labels)[order] == right]
    _, first = np.unique(COARSE_OF_FINE[labels[order]], return_index=True)
    return order[np.sort(first)[:count]]


def pick_confused(
    logits: np.ndarray, labels: np.ndarray, images: np.ndarray, pairs: list[tuple[int, int, int]]
) -> dict[tuple[int, int], np.ndarray]:
    """For each pair in both directions, by (true class, predicted class): the misclassified images, the most confident
    first, (8 or fewer, 32, 32, 3) each."""
    guesses, confidence = logits.argmax(1), softmax(logits).max(1)
    examples = {}
    for true, guess in (pair for first, second, _ in pairs for pair in ((first, second), (second, first))):
        found = np.flatnonzero((labels == true) & (guesses == guess))
        examples[true, guess] = images[found[np.argsort(-confidence[found], kind="stable")[:8]]]
    return examples


def pick_cases(probabilities: np.ndarray, labels: np.ndarray, label: int) -> dict[str, int]:
    """Indices of two test images of a class: the "typical" one, whose probability of the class is the median, and the
    "borderline" one, whose two largest probabilities are nearest to each other."""
    own = np.flatnonzero(labels == label)
    second, first = np.sort(probabilities[own], axis=1)[:, -2:].T
    by_probability = own[np.argsort(probabilities[own, label], kind="stable")]
    return {"typical": int(by_probability[len(own) // 2]), "borderline": int(own[(first - second).argmin()])}


def save_showcase(
    network: nn.Module, name: str, test: Images, probabilities: np.ndarray, folder: str | Path
) -> Picture:
    """Save a figure with Grad-CAM for a typical and for a borderline test image of six classes; older ones in the
    folder go; and beside it a strip of four. name: of the recipe. Returns a sheet of them all."""
    for old in Path(folder).glob("class_*.png"):
        old.unlink()
    chosen, captions, sheet = [], [], []
    for label in SHOWN_CLASSES:
        for case, index in pick_cases(probabilities, test.fine, label).items():
            image, shares, called = test.images[index], probabilities[index], readable(FINE_NAMES[label])
            maps = {layer: heatmaps[0] for layer, heatmaps in explain_stages(network, image[None]).items()}
            title = f"Class {label}, {called}: a {case} test image and what {name} says"
            path = Path(folder) / f"class_{label:03}_{FINE_NAMES[label]}_{case}.png"
            save_figure(plot_classification(image, shares, maps, title), path)
            chosen.append(index)
            answer = "" if shares.argmax() == label else f"taken for {readable(FINE_NAMES[shares.argmax()])}, "
            captions.append(f"{called}, {case}\n{answer}{percent(shares.max())}")
            sheet.append(list(maps.values())[0])
    typical = plot_showcase(test.images[chosen[:8:2]], captions[:8:2], np.stack(sheet[:8:2]), f"Where {name} looks")
    save_figure(typical, Path(folder).with_name("grad_cam.png"))  # for the README
    title = "Of six classes a typical and a borderline image, and where the last stage looks"
    return plot_showcase(test.images[chosen], captions, np.stack(sheet), title)
