"""Figures of the data: what is in CIFAR-100 before any network sees it."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.patheffects import withStroke

from cifar100.dataset.cifar import COARSE_NAMES, COARSE_OF_FINE, FINE_NAMES, readable
from cifar100.figures.style import (
    BY_SUPERCLASS,
    COLOURS,
    Picture,
    add_superclass_legend,
    keep_apart,
    make_figure,
    show_pictures,
)


def plot_class_balance(counts: np.ndarray) -> Picture:
    """counts: (splits, 100) images a class, training split first."""
    even = all(len(set(row)) == 1 for row in counts)
    title = "Every class has as many images as any other" if even else "The classes differ in size"
    fig, ax = make_figure(9, 4.2, title)
    places = np.arange(100)
    for row, name, shade in zip(counts, ("training", "test"), (0.45, 1.0)):
        colours = [(*COLOURS[COARSE_OF_FINE[k]][:3], shade) for k in BY_SUPERCLASS]
        ax.bar(places, row[BY_SUPERCLASS], width=0.9, color=colours, label=name)
        size = f"{row.min()} each" if row.min() == row.max() else f"{row.min()} to {row.max()}"
        ax.annotate(f"{name}: {size}", (99, row.max()), ha="right", va="bottom", fontsize=9)
    ax.set(xlabel="class, superclass by superclass", ylabel="images", xlim=(-1, 100), ylim=(0, counts.max() * 1.15))
    ax.set_xticks(np.arange(20) * 5 + 2, [readable(n) for n in COARSE_NAMES], rotation=60, ha="right", fontsize=7)
    return fig


def plot_superclasses(images: np.ndarray, fine: np.ndarray, each: int = 3, seed: int = 0) -> Picture:
    """Examples of every class, a row a superclass. images: (N, 32, 32, 3) uint8; fine: (N,)."""
    generator = np.random.default_rng(seed)
    fig, axes = make_figure(9, 14, "Twenty superclasses of five classes: relatives look alike", 20, 5, palette="flat")
    for rank, fine_class in enumerate(BY_SUPERCLASS):
        ax = axes.flat[rank]
        chosen = generator.choice(np.flatnonzero(fine == fine_class), each, replace=False)
        show_pictures(ax, images[chosen], each)
        ax.set_title(readable(FINE_NAMES[fine_class]), fontsize=8, pad=2)
        if rank % 5 == 0:
            name = readable(COARSE_NAMES[COARSE_OF_FINE[fine_class]])
            ax.text(-0.08, 0.5, name, transform=ax.transAxes, ha="right", va="center", fontsize=8, wrap=True)
    return fig


def plot_classes(pictures: np.ndarray, title: str) -> Picture:
    """One picture of each class, two superclasses a row, named at the edges. pictures: (100, 32, 32, 3) in 0..255."""
    smooth = pictures.dtype != np.uint8  # means
    fig, axes = make_figure(9, 9.6, title, 10, 10, palette="full" if smooth else "flat")
    for ax, fine_class in zip(axes.flat, BY_SUPERCLASS):
        ax.imshow(pictures[fine_class].round().astype(np.uint8))
        ax.set_title(readable(FINE_NAMES[fine_class]), fontsize=7, pad=2)
        ax.set_axis_off()
    for rank, name in enumerate(COARSE_NAMES):
        row, right = divmod(rank, 2)
        text = textwrap.fill(readable(name), 14)
        place = {"x": 1.12, "ha": "left"} if right else {"x": -0.12, "ha": "right"}
        ax = axes[row, 9 if right else 0]
        ax.text(**place, y=0.5, s=text, transform=ax.transAxes, va="center", fontsize=8, fontweight="bold")
    return fig


def plot_channels(histograms: np.ndarray, means: np.ndarray, deviations: np.ndarray) -> Picture:
    """histograms: (3, 256) share of the pixels at each value; means, deviations: (3,) in 0..1."""
    brightest = ("Red", "Green", "Blue")[means.argmax()]
    title = f"{brightest} is the brightest channel; {histograms[:, -1].mean():.1%} of all values are 1"
    fig, ax = make_figure(9, 3.2, title)
    for k, (name, colour) in enumerate((("red", "#c03028"), ("green", "#2e8b57"), ("blue", "#3060c0"))):
        label = f"{name}: mean {means[k]:.3f}, deviation {deviations[k]:.3f}"
        ax.plot(np.arange(256) / 255, 100 * histograms[k], color=colour, linewidth=1.2, label=label)
        ax.axvline(means[k], color=colour, linewidth=0.8, linestyle=":")
    ax.set(xlabel="value of a pixel, 0 to 1", ylabel="share of the pixels in %", xlim=(0, 1), ylim=(0, None))
    ax.legend(frameon=False, fontsize=9)
    return fig


def plot_brightness(brightness: np.ndarray, contrast: np.ndarray, fine: np.ndarray, labelled: int = 3) -> Picture:
    """Left: each class's mean brightness and contrast; the extremes are named. Right: the spread of the brightness
    within each superclass. brightness, contrast: (N,) of pictures, in 0..1; fine: (N,) their classes."""
    import seaborn  # here, because it imports pyplot

    pictures = pd.DataFrame({"brightness": brightness, "contrast": contrast, "class": fine})
    pictures["superclass"] = [readable(COARSE_NAMES[coarse]) for coarse in COARSE_OF_FINE[fine]]
    means = pictures.groupby("class")[["brightness", "contrast"]].mean()
    extremes = {
        k
        for column in means
        for k in [*means[column].nlargest(labelled).index, *means[column].nsmallest(labelled).index]
    }
    lightest, darkest = means["brightness"].idxmax(), means["brightness"].idxmin()
    title = (
        f"Brightness tells little: {readable(FINE_NAMES[lightest])} is lightest, {readable(FINE_NAMES[darkest])} "
        "darkest"
    )
    fig, (left, right) = make_figure(9, 4.8, title, 1, 2, width_ratios=(1.25, 1))
    left.scatter(means["brightness"], means["contrast"], s=36, c=[COLOURS[COARSE_OF_FINE[k]] for k in means.index])
    for k in extremes:
        side, shift = ("right", -5) if means.loc[k, "brightness"] > 0.6 else ("left", 5)
        place = {"xytext": (shift, 3), "textcoords": "offset points", "ha": side}
        left.annotate(readable(FINE_NAMES[k]), means.loc[k], fontsize=8, **place)
    left.set(xlabel="mean grey value of a class, 0 to 1", ylabel="mean contrast (deviation of the grey values)")
    left.margins(x=0.2)
    seaborn.boxplot(
        pictures,
        x="brightness",
        y="superclass",
        hue="superclass",
        ax=right,
        palette=COLOURS,
        legend=False,
        order=[readable(name) for name in COARSE_NAMES],
        hue_order=[readable(name) for name in COARSE_NAMES],
        fliersize=0,
        linewidth=0.7,
        width=0.7,
    )
    right.set(xlabel="grey value of a picture, 0 to 1", ylabel="")
    right.tick_params(axis="y", labelsize=7)
    return fig


def plot_distances(distances: np.ndarray, share: float) -> Picture:
    """distances: (100, 100) between classes' mean pictures, in 0..255; share: how often the nearest
    class is of the same superclass, 0..1."""
    title = f"The class with the most similar mean picture is a relative in {share:.0%} of the cases (chance: 4%)"
    fig, ax = make_figure(9, 8.2, title)
    shown = ax.imshow(distances[np.ix_(BY_SUPERCLASS, BY_SUPERCLASS)], cmap="viridis", interpolation="nearest")
    places = np.arange(20) * 5 + 2
    ax.set_xticks(places, [readable(name) for name in COARSE_NAMES], rotation=60, ha="right", fontsize=7)
    ax.set_yticks(places, [readable(name) for name in COARSE_NAMES], fontsize=7)
    for edge in np.arange(5, 100, 5) - 0.5:
        ax.axvline(edge, color="white", linewidth=0.3)
        ax.axhline(edge, color="white", linewidth=0.3)
    fig.colorbar(shown, ax=ax, shrink=0.7, label="root mean square difference of the mean pictures, 0 to 255")
    return fig


def plot_embedding(points: np.ndarray, fine: np.ndarray, title: str, named: bool = False) -> Picture:
    """points: (N, 2) places of pictures; fine: (N,) their classes; named: write each superclass's name in its middle,
    or a little above where another name stands there; what finds no place is left to the legend."""
    fig, ax = make_figure(9, 6.5, title, palette="flat")
    ax.scatter(*points.T, s=7, c=[COLOURS[COARSE_OF_FINE[k]] for k in fine], linewidths=0)
    ax.set(xticks=[], yticks=[])
    if named:
        numbers = np.unique(COARSE_OF_FINE[fine])
        middles = np.stack([np.median(points[COARSE_OF_FINE[fine] == number], axis=0) for number in numbers])
        width, height = np.ptp(points, axis=0) * (0.3, 0.03)  # about a name's
        halo = [withStroke(linewidth=2.5, foreground="white")]
        words = {"ha": "center", "va": "center", "fontsize": 7.5, "path_effects": halo}
        for number, middle, place in zip(numbers, middles, keep_apart(middles, height, width)):
            if place[1] - middle[1] < 3 * height:
                ax.annotate(readable(COARSE_NAMES[number]), place, **words)
    add_superclass_legend(fig)
    return fig


def plot_picture_groups(groups: list[np.ndarray], captions: list[str], title: str, columns: int = 4) -> Picture:
    """Groups of pictures side by side, each under its caption. groups: (n, 32, 32, 3) uint8 each."""
    rows = -(-len(groups) // columns)
    fig, axes = make_figure(9, 0.5 + 1.5 * rows, title, rows, columns, palette="flat", squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, pictures, caption in zip(axes.flat, groups, captions):
        show_pictures(ax, pictures, len(pictures))
        ax.set_title(caption, fontsize=8, pad=3)
    return fig
