"""Figures of a network's reasons: Grad-CAM overlays, and the classification of one picture."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from cifar100.dataset.cifar import FINE_NAMES, readable
from cifar100.explain.grad_cam import overlay
from cifar100.figures.style import HELD, TRAINING, Picture, make_figure


def plot_grad_cam(
    images: np.ndarray, labels: np.ndarray, guesses: np.ndarray, maps: dict[str, np.ndarray], title: str
) -> Picture:
    """Columns of pictures: each as it is, every pixel a square, and below under the heatmap of each layer.

    images: (N, 32, 32, 3) uint8; labels, guesses: (N,) true and predicted classes; maps: what the layer is
    called -> (N, h, w) in 0..1, of any resolution.
    """
    count = len(images)
    fig, axes = make_figure(9, 0.9 + 9.4 / count * (1 + len(maps)), title, 1 + len(maps), count, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for column, (image, label, guess) in enumerate(zip(images, labels, guesses)):
        axes[0, column].imshow(image, interpolation="nearest")
        caption = readable(FINE_NAMES[guess]) + ("" if guess == label else f"\nis: {readable(FINE_NAMES[label])}")
        axes[0, column].set_title(caption, fontsize=8, color="black" if guess == label else HELD)
        for row, heatmaps in enumerate(maps.values(), start=1):
            axes[row, column].imshow(overlay(image, heatmaps[column], 32), interpolation="nearest")
    for row, name in enumerate(["picture", *maps]):
        axes[row, 0].set_ylabel(name, fontsize=8)
    return fig


def plot_classification(
    picture: np.ndarray,
    probabilities: np.ndarray,
    maps: dict[str, np.ndarray],
    title: str,
    seen: np.ndarray | None = None,
) -> Picture:
    """One picture from the file to the answer: as it is, as the network sees it, where it looks, what it says.

    picture: (H, W, 3) uint8; seen: (32, 32, 3) uint8, where that is another; probabilities: (100,); maps: what the
    layer is called -> (h, w) in 0..1.
    """
    parts = {"picture": picture} if seen is None else {"picture": picture, "32 x 32 pixels": seen}
    seen = picture if seen is None else seen
    parts |= {name: overlay(seen, heatmap, 32) for name, heatmap in maps.items()}
    count = len(parts)
    fig, axes = make_figure(1.55 * count + 2.6, 2.4, title, 1, count + 1, width_ratios=[1] * count + [1.3])
    for ax, (caption, shown) in zip(axes, parts.items()):
        ax.imshow(shown, interpolation="nearest")
        ax.set_axis_off()
        ax.set_title(caption.replace("\n", " "), fontsize=9)
    best, answer = probabilities.argsort()[::-1][:5], axes[-1]
    answer.barh(range(5), probabilities[best], color=[TRAINING, *["0.75"] * 4])
    answer.set_yticks(range(5), [readable(FINE_NAMES[k]) for k in best], fontsize=8)
    answer.invert_yaxis()
    answer.set(xlim=(0, 1), xlabel="probability")
    answer.xaxis.set_major_formatter(PercentFormatter(1))
    return fig


def plot_showcase(images: np.ndarray, captions: list[str], maps: np.ndarray, title: str) -> Picture:
    """A sheet of pictures, each beside its heatmap. images: (N, 32, 32, 3) uint8; maps: (N, h, w) in 0..1."""
    columns = 4
    rows = max(1, -(-len(images) // columns))
    fig, axes = make_figure(9, 0.5 + 1.35 * rows, title, rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, caption, heatmap in zip(axes.flat, images, captions, maps):
        gap = np.full((32, 2, 3), 255, np.uint8)
        ax.imshow(np.hstack([image, gap, overlay(image, heatmap, 32)]), interpolation="nearest")
        ax.set_title(caption, fontsize=8.5, pad=3)
    return fig
