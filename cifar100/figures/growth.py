"""A figure of what an epoch costs as the work grows."""

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from cifar100.figures.style import HELD, TRAINING, Picture, make_figure


def plot_growth(figures: dict, title: str) -> Picture:
    """Seconds of an epoch over its images, and memory and speed over the batch. figures: of `measure_growth`."""
    fig, (left, middle, right) = make_figure(9, 3.4, title, 1, 3)
    images, seconds = (np.array([point[key] for point in figures["images"]]) for key in ("images", "seconds"))
    left.plot(images, seconds[-1] * images / images[-1], color="0.6", linestyle="--", label="in proportion")
    left.plot(images, seconds, "o-", color=TRAINING, label="measured")
    left.set(xlabel=f"training images\n({figures['network']}, batch {figures['batch_size']})", xscale="log")
    left.set(ylabel="seconds an epoch", yscale="log")
    left.legend(frameon=False, fontsize=9)
    show_sizes(left.xaxis, images)
    show_sizes(left.yaxis, seconds)

    names = ("batch_size", "peak_megabytes", "images_per_second", "timed_images", "images")
    batches, memory, speed, timed, all_images = (
        np.array([point[name] for point in figures["batches"]]) for name in names
    )
    middle.plot(batches, memory, "o-", color=HELD)
    middle.set(ylabel="peak memory, MB")
    right.plot(batches, speed, "o-", color=TRAINING)
    right.set(ylabel="training images a second")
    counted = f"\n(from {timed.min():,} or more images)" if (timed < all_images).any() else ""
    for ax, values, note in ((middle, memory, ""), (right, speed, counted)):
        ax.set(xlabel=f"batch size{note}", ylim=(0, 1.1 * values.max()), xscale="log")
        show_sizes(ax.xaxis, batches)
    for ax in (left, middle, right):
        ax.grid(axis="y", color="0.9")
        ax.set_axisbelow(True)
    return fig


def show_sizes(axis, sizes: np.ndarray) -> None:
    """A mark at each size of a logarithmic axis."""
    axis.set_major_locator(FixedLocator(sizes))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(
        FuncFormatter(
            lambda size, _: f"{size / 1000:g}k" if size >= 5000 else f"{size:.3g}" if size < 1000 else f"{size:g}"
        )
    )
