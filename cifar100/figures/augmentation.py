"""Figures of the augmentations: what each transform does, and what all of them together make of a picture."""

import numpy as np

from cifar100.figures.style import Picture, make_figure, show_pictures


def plot_transforms(originals: np.ndarray, alone: dict[str, np.ndarray]) -> Picture:
    """A row for each transform by itself, under the pictures it was applied to.

    originals: (N, 32, 32, 3) uint8; alone: what a transform does -> (N, 32, 32, 3) uint8.
    """
    rows = {"original": originals} | alone
    fig, axes = make_figure(
        9, 0.5 + 0.85 * len(rows), "What each transform does by itself", len(rows), 1, palette="flat"
    )
    for ax, (name, pictures) in zip(axes, rows.items()):
        show_pictures(ax, pictures, len(pictures))
        ax.text(-0.01, 0.5, name, transform=ax.transAxes, ha="right", va="center", fontsize=9)
    return fig


def plot_mixed(mixed: np.ndarray, captions: list[str], title: str) -> Picture:
    """Mixed pictures, each with its labels' shares. mixed: (N, 32, 32, 3) uint8."""
    fig, axes = make_figure(9, 1.9, title, 1, len(mixed), palette="flat")
    for ax, picture, caption in zip(axes, mixed, captions):
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(caption, fontsize=7.5, pad=3)
        ax.set_axis_off()
    return fig


def plot_draws(originals: np.ndarray, draws: np.ndarray, title: str) -> Picture:
    """A row for each picture: at the left as it is, then as the network sees it in one epoch after another.

    originals: (N, 32, 32, 3) uint8; draws: (N, epochs, 32, 32, 3) uint8.
    """
    count, epochs = draws.shape[:2]
    fig, (left, right) = make_figure(9, 0.6 + 0.87 * count, title, 1, 2, palette="flat", width_ratios=(1, epochs + 0.4))
    show_pictures(left, originals, 1)
    show_pictures(right, draws.reshape(-1, *draws.shape[2:]), epochs)
    left.set_title("original", fontsize=9)
    right.set_title(f"in epochs 1 to {epochs}", fontsize=9)
    return fig
