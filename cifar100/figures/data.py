"""Figures of the data, before any training."""

import numpy as np
from matplotlib.patheffects import withStroke

from cifar100.dataset.cifar import COARSE_NAMES, COARSE_OF_FINE, FINE_NAMES, readable
from cifar100.figures.style import (
    BY_SUPERCLASS,
    COLOURS,
    Picture,
    keep_apart,
    make_figure,
)

SUPERCLASS_NAMES = [readable(name) for name in COARSE_NAMES]
MIDDLES = np.arange(20) * 5 + 2  # of each superclass on the axis of the classes


def plot_class_balance(counts: np.ndarray) -> Picture:
    """counts: (splits, 100) images per class, training split first."""
    even = all(len(set(row)) == 1 for row in counts)
    title = "Every class has as many images as any other" if even else "The classes differ in size"
    fig, ax = make_figure(9, 3.8, title)
    for row, name, shade in zip(counts, ("training", "test"), (0.45, 1.0)):
        colours = [(*COLOURS[COARSE_OF_FINE[k]][:3], shade) for k in BY_SUPERCLASS]
        ax.bar(range(100), row[BY_SUPERCLASS], width=0.9, color=colours)
        size = f"{row.min()} each" if row.min() == row.max() else f"{row.min()} to {row.max()}"
        ax.annotate(f"{name}: {size}", (99, row.max()), ha="right", va="bottom", fontsize=9)
    ax.set(ylabel="images of a class", xlim=(-1, 100), ylim=(0, counts.max() * 1.15))
    ax.set_xticks(MIDDLES, SUPERCLASS_NAMES, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    return fig


def plot_channels(histograms: np.ndarray, means: np.ndarray, stds: np.ndarray) -> Picture:
    """histograms: (3, 256) fraction of the pixels at each value; means, stds: (3,) in 0..1."""
    brightest = ("Red", "Green", "Blue")[means.argmax()]
    title = f"{brightest} is the brightest channel; {histograms[:, -1].mean():.1%} of all values are 1"
    fig, ax = make_figure(9, 3.2, title)
    for k, (name, colour) in enumerate((("red", "#c03028"), ("green", "#2e8b57"), ("blue", "#3060c0"))):
        label = f"{name}: mean {means[k]:.3f}, standard deviation {stds[k]:.3f}"
        ax.plot(np.arange(256) / 255, 100 * histograms[k], color=colour, linewidth=1.2, label=label)
        ax.axvline(means[k], color=colour, linewidth=0.8, linestyle=":")
    ax.set(xlabel="value of a pixel, 0 to 1 (dotted: the mean)", ylabel="share of the pixels in %")
    ax.set(xlim=(0, 1.005), ylim=(0, None))
    ax.legend(fontsize=9, loc="upper center", framealpha=1, edgecolor="white")
    return fig


def plot_brightness(brightness: np.ndarray, fine: np.ndarray) -> Picture:
    """The interquartile range of brightness of each class, the darkest first; the four classes at each end are named.

    brightness: (N,) mean grey value of each image, 0..1; fine: (N,) their classes.
    """
    quartiles = np.array([np.quantile(brightness[fine == k], (0.25, 0.5, 0.75)) for k in range(100)])
    order, whole = quartiles[:, 1].argsort(), np.quantile(brightness, (0.25, 0.75))
    names = [readable(FINE_NAMES[k]) for k in order]
    title = f"Brightness tells little: from {names[0]} to {names[-1]}, most classes overlap"
    fig, ax = make_figure(9, 3.6, title)
    colours = [COLOURS[COARSE_OF_FINE[k]] for k in order]
    ax.axhspan(*whole, color="0.93", zorder=0, label="the middle half of all images")
    ax.vlines(range(100), *quartiles[order, ::2].T, color=colours, linewidth=3, label="the middle half of a class")
    ax.scatter(range(100), quartiles[order, 1], s=14, color="black", zorder=3, label="median of a class")
    ax.text(0, 0.22, "\n".join(names[:4]), ha="left", va="top", fontsize=8)
    ax.text(92, 1.0, "\n".join(names[:-5:-1]), ha="right", va="top", fontsize=8)
    ax.set(xlabel="classes, the darkest first", ylabel="mean grey value of an image, 0 to 1", xticks=[], ylim=(0, 1.03))
    ax.legend(frameon=False, fontsize=9, loc="upper center")
    return fig


def plot_distances(distances: np.ndarray, share: float) -> Picture:
    """distances: (100, 100) between the classes' mean images, in 0..255; share: how often the nearest class is in the
    same superclass, 0..1."""
    title = f"The most similar mean image is of the same superclass for {share:.0%} of the classes (chance: 4%)"
    fig, ax = make_figure(9, 7.6, title)
    look = {"cmap": "viridis", "interpolation": "nearest", "vmin": 0, "vmax": 50}
    shown = ax.imshow(distances[np.ix_(BY_SUPERCLASS, BY_SUPERCLASS)], **look)
    ax.set_xticks(MIDDLES, SUPERCLASS_NAMES, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    ax.set_yticks(MIDDLES, SUPERCLASS_NAMES, fontsize=7)
    for edge in np.arange(5, 100, 5) - 0.5:
        ax.axvline(edge, color="white", linewidth=0.3)
        ax.axhline(edge, color="white", linewidth=0.3)
    fig.colorbar(shown, ax=ax, shrink=0.7, extend="max", label="root mean square difference (pixels: 0 to 255)")
    return fig


def plot_embedding(points: np.ndarray, fine: np.ndarray, title: str, named: bool = False) -> Picture:
    """points: (N, 2), the embedded images; fine: (N,) their classes; named: write the name of each superclass where
    its points are densest, moved apart if they overlap, instead of a legend."""
    fig, ax = make_figure(9, 6.5, title)
    ax.scatter(*points.T, s=7, c=[COLOURS[COARSE_OF_FINE[k]] for k in fine], linewidths=0)
    ax.set(xticks=[], yticks=[])
    if not named:
        handles = [ax.scatter([], [], color=colour) for colour in COLOURS]
        fig.legend(handles, SUPERCLASS_NAMES, loc="outside right center", frameon=False, fontsize=8)
        return fig
    numbers = np.unique(COARSE_OF_FINE[fine])
    places = np.stack([densest_point(points[COARSE_OF_FINE[fine] == number]) for number in numbers])
    width, height = np.ptp(points, axis=0) * (0.0085, 0.035)  # about the size of a letter
    widths = width * np.array([len(SUPERCLASS_NAMES[number]) + 2 for number in numbers])
    places[:, 0] = np.clip(places[:, 0], points[:, 0].min() + widths / 2, points[:, 0].max() - widths / 2)
    look = {
        "ha": "center",
        "va": "center",
        "fontsize": 8,
        "path_effects": [withStroke(linewidth=3, foreground="white")],
    }
    for number, place in zip(numbers, keep_apart(places, height, widths)):
        ax.text(*place, SUPERCLASS_NAMES[number], fontweight="bold", color=0.6 * np.array(COLOURS[number][:3]), **look)
    return fig


def densest_point(points: np.ndarray) -> np.ndarray:
    """Of points (N, 2) the one with a quarter of them within the smallest distance."""
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    return points[np.quantile(distances, 0.25, axis=1).argmin()]
