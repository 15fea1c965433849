"""One function for each figure: plain arrays in, a matplotlib Figure out.

One visual language: superclasses keep their colour and their order everywhere, classes stand in
the order of their superclass, titles state the finding or the question.
"""

import io
from pathlib import Path

import matplotlib
import matplotlib.lines
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cifar100.data import COARSE_NAMES, COARSE_OF_FINE, FINE_NAMES
from cifar100.files import write_bytes

DPI = 100
LARGE = 600_000  # bytes of a PNG
COLOURS = [matplotlib.colormaps["tab20"](k) for k in range(20)]  # one a superclass
BY_SUPERCLASS = np.lexsort((np.arange(100), COARSE_OF_FINE))  # class numbers, superclass by superclass


def readable(name: str) -> str:
    """A class name without underscores."""
    return name.replace("_", " ")


class Picture(Figure):
    """A Figure that a notebook shows as it is saved. Made without pyplot, it is never shown by
    itself and needs no closing."""

    def _repr_png_(self) -> bytes:
        """PNG; one of many photographs in 256 colours, which is a third of the size and looks the same."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        if buffer.tell() < LARGE:
            return buffer.getvalue()
        reduced = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        smaller = io.BytesIO()
        reduced.save(smaller, format="png", optimize=True)
        return smaller.getvalue()


def make_figure(width: float, height: float, title: str, rows: int = 1, columns: int = 1, **options):
    """A figure of `width` by `height` inches with a grid of axes, (rows, columns) array or one axes."""
    fig = Picture(figsize=(width, height), dpi=DPI, layout="constrained")
    fig.suptitle(title, fontsize=13, x=0.01, ha="left")
    return fig, fig.subplots(rows, columns, **options)


def save_figure(fig: Picture, path: str | Path) -> Picture:
    """Write the figure and return it, so that a notebook's cell may end in it and stores it once."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(Path(path), fig._repr_png_())
    return fig


def show_pictures(ax, pictures: np.ndarray, columns: int, gap: int = 2) -> None:
    """Pictures in rows on one pair of axes. pictures: (N, H, W, 3) uint8."""
    count, height, width, _ = pictures.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap), columns * (width + gap), 3), 255, np.uint8)
    for k, picture in enumerate(pictures):
        top, left = (k // columns) * (height + gap), (k % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    ax.imshow(sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap], interpolation="nearest")
    ax.set_axis_off()


def plot_class_balance(counts: np.ndarray) -> Picture:
    """counts: (splits, 100) images a class, training split first."""
    even = all(len(set(row)) == 1 for row in counts)
    title = "Every class has as many images as any other" if even else "The classes differ in size"
    fig, ax = make_figure(9, 4.2, title)
    places = np.arange(100)
    for row, name, shade in zip(counts, ("training", "test"), (0.45, 1.0)):
        colours = [(*COLOURS[COARSE_OF_FINE[k]][:3], shade) for k in BY_SUPERCLASS]
        ax.bar(places, row[BY_SUPERCLASS], width=0.9, color=colours, label=name)
        ax.annotate(f"{name}: {row.min()} to {row.max()}", (99, row.max()), ha="right", va="bottom", fontsize=9)
    ax.set(xlabel="class, superclass by superclass", ylabel="images", xlim=(-1, 100), ylim=(0, counts.max() * 1.15))
    ax.set_xticks(np.arange(20) * 5 + 2, [readable(n) for n in COARSE_NAMES], rotation=60, ha="right", fontsize=7)
    return fig


def plot_superclasses(images: np.ndarray, fine: np.ndarray, each: int = 3, seed: int = 0) -> Picture:
    """Examples of every class, a row a superclass. images: (N, 32, 32, 3) uint8; fine: (N,)."""
    generator = np.random.default_rng(seed)
    fig, axes = make_figure(9, 14, "Twenty superclasses of five classes: relatives look alike", 20, 5)
    for rank, fine_class in enumerate(BY_SUPERCLASS):
        ax = axes.flat[rank]
        chosen = generator.choice(np.flatnonzero(fine == fine_class), each, replace=False)
        show_pictures(ax, images[chosen], each)
        ax.set_title(readable(FINE_NAMES[fine_class]), fontsize=8, pad=2)
        if rank % 5 == 0:
            name = readable(COARSE_NAMES[COARSE_OF_FINE[fine_class]])
            ax.text(-0.08, 0.5, name, transform=ax.transAxes, ha="right", va="center", fontsize=8, wrap=True)
    return fig


def plot_mean_images(means: np.ndarray) -> Picture:
    """means: (100, 32, 32, 3) in 0..255, by class."""
    fig, axes = make_figure(9, 10.5, "The mean picture of a class shows its pose and its background", 10, 10)
    for ax, fine_class in zip(axes.flat, BY_SUPERCLASS):
        ax.imshow(means[fine_class].round().astype(np.uint8))
        ax.set_title(readable(FINE_NAMES[fine_class]), fontsize=7, pad=2)
        ax.set_axis_off()
    return fig


def plot_channels(histograms: np.ndarray, means: np.ndarray, deviations: np.ndarray) -> Picture:
    """histograms: (3, 256) share of the pixels at each value; means, deviations: (3,) in 0..1."""
    warmest = means.argmax()
    title = f"{('Red', 'Green', 'Blue')[warmest]} is the brightest channel; black and white are clipped"
    fig, ax = make_figure(9, 3.2, title)
    for k, (name, colour) in enumerate((("red", "#c03028"), ("green", "#2e8b57"), ("blue", "#3060c0"))):
        label = f"{name}: mean {means[k]:.3f}, deviation {deviations[k]:.3f}"
        ax.plot(np.arange(256) / 255, 100 * histograms[k], color=colour, linewidth=1.2, label=label)
        ax.axvline(means[k], color=colour, linewidth=0.8, linestyle=":")
    ax.set(xlabel="value of a pixel, 0 to 1", ylabel="share of the pixels in %", xlim=(0, 1), ylim=(0, None))
    ax.legend(frameon=False, fontsize=9)
    return fig


def plot_brightness(brightness: np.ndarray, contrast: np.ndarray, labelled: int = 3) -> Picture:
    """Each class's mean brightness and contrast, (100,) each, in 0..1; the extremes are named."""
    extremes = {
        int(k)
        for values in (brightness, contrast)
        for k in np.r_[values.argsort()[:labelled], values.argsort()[-labelled:]]
    }
    lightest, darkest = FINE_NAMES[brightness.argmax()], FINE_NAMES[brightness.argmin()]
    title = f"Brightness alone tells some classes: {readable(lightest)} is lightest, {readable(darkest)} darkest"
    fig, ax = make_figure(9, 5.5, title)
    ax.scatter(brightness, contrast, s=36, c=[COLOURS[coarse] for coarse in COARSE_OF_FINE])
    for k in extremes:
        ax.annotate(
            readable(FINE_NAMES[k]), (brightness[k], contrast[k]), xytext=(5, 3), textcoords="offset points", fontsize=8
        )
    ax.set(xlabel="mean grey value of the class, 0 to 1", ylabel="mean contrast (deviation of the grey values)")
    add_superclass_legend(fig)
    return fig


def add_superclass_legend(fig: Picture) -> None:
    """The colours of the superclasses, at the right."""
    handles = [matplotlib.lines.Line2D([], [], marker="o", linestyle="", color=colour) for colour in COLOURS]
    fig.legend(handles, map(readable, COARSE_NAMES), loc="outside right center", frameon=False, fontsize=7)


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


def plot_embedding(points: np.ndarray, fine: np.ndarray, title: str) -> Picture:
    """points: (N, 2) places of pictures; fine: (N,) their classes."""
    fig, ax = make_figure(9, 6.5, title)
    ax.scatter(*points.T, s=5, c=[COLOURS[COARSE_OF_FINE[k]] for k in fine], linewidths=0)
    ax.set(xticks=[], yticks=[])
    add_superclass_legend(fig)
    return fig


def plot_picture_groups(groups: list[np.ndarray], captions: list[str], title: str, columns: int = 4) -> Picture:
    """Groups of pictures side by side, each under its caption. groups: (n, 32, 32, 3) uint8 each."""
    rows = -(-len(groups) // columns)
    fig, axes = make_figure(9, 0.5 + 1.5 * rows, title, rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, pictures, caption in zip(axes.flat, groups, captions):
        show_pictures(ax, pictures, len(pictures))
        ax.set_title(caption, fontsize=8, pad=3)
    return fig
