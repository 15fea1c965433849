"""What all figures share: one visual language, and how a figure is kept.

Superclasses keep their colour and their order everywhere, classes stand in the order of their superclass,
titles state the finding or the question.
"""

import functools
import io
import re
from pathlib import Path

import matplotlib
import matplotlib.lines
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cifar100.dataset.cifar import COARSE_NAMES, COARSE_OF_FINE, is_sample, readable
from cifar100.files import write_bytes

DPI = 100
TITLE = {"fontsize": 13, "x": 0.01, "ha": "left"}
SMALLEST = 7  # points
TRAINING, HELD = "#4477aa", "#cc3311"  # of what was learned, and of what was held against it
COLOURS = [matplotlib.colormaps["tab20"](k) for k in range(20)]  # one a superclass
BY_SUPERCLASS = np.lexsort((np.arange(100), COARSE_OF_FINE))  # class numbers, superclass by superclass


class Picture(Figure):
    """A Figure that a notebook shows as it is saved. Made without pyplot, it is never shown by
    itself and needs no closing."""

    palette = "full"  # or "flat": 256 colours, at less than half the size, where that cannot be seen
    alt = ""  # in words, for those who cannot see it

    @functools.cached_property
    def png(self) -> bytes:
        """Drawn once."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue() if self.palette == "full" else reduce_colours(buffer)

    def _repr_png_(self) -> tuple[bytes, dict]:
        """For IPython: the picture, and what a notebook keeps beside it."""
        return self.png, {"alt": self.alt}


def reduce_colours(picture: io.BytesIO) -> bytes:
    """The picture as a PNG of 256 colours."""
    reduced = Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    smaller = io.BytesIO()
    reduced.save(smaller, format="png", optimize=True)
    return smaller.getvalue()


def make_figure(
    width: float,
    height: float,
    title: str,
    rows: int = 1,
    columns: int = 1,
    palette: str = "full",
    published: bool = False,
    **options,
):
    """A figure of `width` by `height` inches with a grid of axes, (rows, columns) array or one axes. Where the
    embedded sample takes CIFAR-100's place, the title says so, but for published figures, which never show it. The
    title, which states what is seen, is its text for those who cannot see it, too."""
    title = f"SAMPLE: {title}" if is_sample() and not published else title
    fig = Picture(figsize=(width, height), dpi=DPI, layout="constrained")
    fig.palette = palette
    set_title(fig, title)
    return fig, fig.subplots(rows, columns, **options)


def set_title(fig: Picture, title: str) -> None:
    """Write it above the figure, smaller where it would not fit into its width."""
    fig.alt, heading = title, fig.suptitle(title, **TITLE)
    room = (1 - 2 * TITLE["x"]) * fig.bbox.width
    while heading.get_window_extent().width > room and heading.get_fontsize() > SMALLEST:
        heading.set_fontsize(heading.get_fontsize() - 0.5)  # letters do not shrink in proportion


def save_figure(fig: Picture, path: str | Path) -> Picture:
    """Write the figure and return it, so that a notebook's cell may end in it and stores it once. One whose file's name
    begins with a number has that number in its title, too. Raises UserError if the file cannot be written."""
    number = re.match(r"(\d\d)_", Path(path).name)
    if number:
        set_title(fig, f"Figure {int(number[1])}. {fig.get_suptitle()}")
    write_bytes(Path(path), fig.png)
    return fig


def display_name(name: str) -> str:
    """A network's or a recipe's name as a reader writes it: ResNet-56, ResNet-18 cutmix."""
    return re.sub(r"resnet(\d+)", r"ResNet-\1", name).replace("_", " ")


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


def keep_apart(places: np.ndarray, height: float, width: float = np.inf) -> np.ndarray:
    """The places of words, (N, 2), right and up: moved upwards where two are nearer than `height` and `width`."""
    moved, done = np.array(places, np.float64), []
    for k in np.argsort(moved[:, 1], kind="stable"):
        near = sorted(up for right, up in moved[done] if abs(right - moved[k, 0]) < width)
        for up in near:  # from the lowest on
            if abs(up - moved[k, 1]) < height:
                moved[k, 1] = up + height
        done.append(k)
    return moved


def add_superclass_legend(fig: Picture) -> None:
    """The colours of the superclasses, at the right."""
    handles = [matplotlib.lines.Line2D([], [], marker="o", linestyle="", color=colour) for colour in COLOURS]
    fig.legend(handles, map(readable, COARSE_NAMES), loc="outside right center", frameon=False, fontsize=7)
