"""Figures of Grad-CAM, and of the classification of one image."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from cifar100.dataset.cifar import FINE_NAMES, readable
from cifar100.explain.grad_cam import overlay
from cifar100.figures.images import caption_predictions, plot_image_groups
from cifar100.figures.style import TRAINING, Picture, make_figure, percent


def plot_grad_cam(
    images: np.ndarray, labels: np.ndarray, guesses: np.ndarray, maps: dict[str, np.ndarray], title: str
) -> Picture:
    """A column per image: the image, and an overlay of each of its heatmaps.

    images: (N, 32, 32, 3) uint8; labels, guesses: (N,) true and predicted classes; maps: label of a row -> (N, h, w) in
    0..1, of any resolution.
    """
    count = len(images)
    fig, axes = make_figure(9, 0.75 + 8.6 / count * (1 + len(maps)), title, 1 + len(maps), count, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for column, (image, caption, colour) in enumerate(zip(images, *caption_predictions(guesses, labels))):
        axes[0, column].imshow(image, interpolation="nearest")
        axes[0, column].set_title(caption, fontsize=8, color=colour)
        for row, heatmaps in enumerate(maps.values(), start=1):
            axes[row, column].imshow(overlay(image, heatmaps[column], 32), interpolation="nearest")
    for row, name in enumerate(["image", *maps]):
        axes[row, 0].set_ylabel(name, fontsize=8)
    return fig


def plot_classification(
    image: np.ndarray,
    probabilities: np.ndarray,
    maps: dict[str, np.ndarray],
    title: str,
    seen: np.ndarray | None = None,
) -> Picture:
    """The classification of an image: the image, the network's input, heatmaps, and the five most probable classes.

    image: (H, W, 3) uint8; seen: (32, 32, 3) uint8, the input if it differs; probabilities: (100,); maps: label of a
    layer -> (h, w) in 0..1.
    """
    parts = {"image": image} | ({} if seen is None else {"32 x 32 pixels": seen})
    parts |= {name: overlay(image if seen is None else seen, heatmap, 32) for name, heatmap in maps.items()}
    count = len(parts)
    fig, axes = make_figure(1.55 * count + 2.6, 2.4, title, 1, count + 1, width_ratios=[1] * count + [1.3])
    for ax, (caption, shown) in zip(axes, parts.items()):
        ax.imshow(shown, interpolation="nearest")
        ax.set_axis_off()
        ax.set_title(caption.replace("\n", " "), fontsize=9)
    best, bars = probabilities.argsort()[::-1][:5], axes[-1]
    drawn = bars.barh(range(5), probabilities[best], color=[TRAINING, *["0.75"] * 4])
    bars.bar_label(drawn, [percent(share) for share in probabilities[best]], padding=2, fontsize=8)
    bars.set_yticks(range(5), [readable(FINE_NAMES[k]) for k in best], fontsize=8)
    bars.invert_yaxis()
    bars.set(xlim=(0, 1.35), xticks=(0, 0.5, 1), xlabel="probability")
    bars.xaxis.set_major_formatter(PercentFormatter(1))
    return fig


def plot_showcase(images: np.ndarray, captions: list[str], maps: np.ndarray, title: str) -> Picture:
    """Images beside their heatmaps, four pairs per row. images: (N, 32, 32, 3) uint8; maps: (N, h, w) in 0..1."""
    pairs = [np.stack([image, overlay(image, heatmap, 32)]) for image, heatmap in zip(images, maps)]
    return plot_image_groups(pairs, captions, title, 4)
