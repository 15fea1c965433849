"""The common style of all figures, and how they are saved.

Superclasses have the same colour and order everywhere, classes are ordered by superclass, and titles state the finding.
"""

import functools
import io
import itertools
import re
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cifar100.dataset.cifar import COARSE_OF_FINE, is_sample
from cifar100.files import write_bytes

DPI = 100  # as a notebook shows it
DENSITY = 2  # pixels in the file per pixel shown, along one side: for high-density screens
TITLE = {"fontsize": 13, "x": 0.01, "ha": "left"}
TRAINING, HELD = "#4477aa", "#cc3311"  # colours of training, and of evaluation or a comparison
COLOURS = [matplotlib.colormaps["tab20"](k) for k in range(20)]  # one per superclass
BY_SUPERCLASS = np.lexsort((np.arange(100), COARSE_OF_FINE))  # class numbers, superclass by superclass


class Picture(Figure):
    """A Figure that a notebook shows as the saved file. Without pyplot it is not shown automatically and need not be
    closed."""

    alt = ""  # the alternative text

    @functools.cached_property
    def png(self) -> bytes:
        """The file, drawn once, with 256 colours chosen by k-means: less than half the size."""
        drawn, reduced = io.BytesIO(), io.BytesIO()
        self.savefig(drawn, format="png", dpi=DENSITY * DPI)
        image = Image.open(drawn).convert("RGB").quantize(256, kmeans=1, dither=Image.Dither.NONE)
        image.save(reduced, format="png", optimize=True)
        return reduced.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict]:
        """For IPython: the image and its metadata, the alternative text and the size in pixels."""
        width, height = (self.get_size_inches() * DPI).round().astype(int).tolist()
        return self.png, {"alt": self.alt, "width": width, "height": height}


def make_figure(
    width: float, height: float, title: str, rows: int = 1, columns: int = 1, sample: bool | None = None, **options
):
    """A figure of `width` by `height` inches with its axes, an array (rows, columns) or a single one. The title says
    SAMPLE if the figure shows the embedded sample; None: if CIFAR100_DATA names it."""
    fig = Picture(figsize=(width, height), dpi=DPI, layout="constrained")
    set_title(fig, f"SAMPLE: {title}" if (is_sample() if sample is None else sample) else title)
    return fig, fig.subplots(rows, columns, **options)


def set_title(fig: Picture, title: str) -> None:
    """Set the title, in a smaller font if it does not fit the width."""
    fig.alt, heading = title, fig.suptitle(title, **TITLE)
    room = (1 - 2 * TITLE["x"]) * fig.bbox.width
    while heading.get_window_extent().width > room and heading.get_fontsize() > 7:  # points
        heading.set_fontsize(heading.get_fontsize() - 0.5)  # the width is not proportional to the size


def save_figure(fig: Picture, path: str | Path) -> Picture:
    """Write the figure and return it, so that a notebook cell may end with it. A number at the start of the file name
    is added to the title. Raises UserError if the file cannot be written."""
    number = re.match(r"(\d\d)_", Path(path).name)
    if number:
        set_title(fig, f"Figure {int(number[1])}. {fig.get_suptitle()}")
    write_bytes(Path(path), fig.png)
    return fig


def display_name(name: str) -> str:
    """The name of a network or recipe for readers: ResNet-56; ResNet-18 cutmix; ResNet-56, 200 epochs."""
    name = re.sub(r"_(\d+)$", r", \1 epochs", name)
    return re.sub(r"resnet(\d+)", r"ResNet-\1", name).replace("_", " ")


def percent(share: float) -> str:
    """A share, 0..1, in whole percents; "<1%" and ">99%" rather than a certainty that is none."""
    return ">99%" if 0.995 <= share < 1 else "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def keep_apart(points: np.ndarray, height: float, widths: np.ndarray | float = np.inf) -> np.ndarray:
    """The centres of labels, (N, 2), moved vertically until no two overlap. height: of each label; widths: (N,) or one
    for all; both in the units of the points."""
    moved, widths = np.array(points, np.float64).reshape(-1, 2), np.broadcast_to(widths, len(points))
    for _ in range(200):
        overlaps = False
        for a, b in itertools.combinations(np.argsort(moved[:, 1], kind="stable"), 2):  # b is above
            near = abs(moved[a, 0] - moved[b, 0]) < (widths[a] + widths[b]) / 2
            missing = height - (moved[b, 1] - moved[a, 1])
            if near and missing > 1e-6 * height:
                moved[a, 1], moved[b, 1], overlaps = moved[a, 1] - missing / 2, moved[b, 1] + missing / 2, True
        if not overlaps:
            break
    return moved
