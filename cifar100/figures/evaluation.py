"""Figures of an evaluation: where a network is right, what it confuses, and whether it knows."""

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator, PercentFormatter

from cifar100.dataset.cifar import COARSE_NAMES, FINE_NAMES, readable
from cifar100.evaluation.metrics import order_by_confusion
from cifar100.explain.receptive_field import effective_extent
from cifar100.figures.style import HELD, TRAINING, Picture, keep_apart, make_figure, show_pictures


def plot_class_accuracy(accuracies: np.ndarray, intervals: np.ndarray) -> Picture:
    """The accuracy of every class with its interval, best first.

    accuracies: (100,) in 0..1, NaN for a class without images, which has no point; intervals: (100, 2) in 0..1.
    """
    order = np.argsort(-np.nan_to_num(accuracies, nan=-1), kind="stable")
    known, mean = order[np.isfinite(accuracies[order])], np.nanmean(accuracies)
    best, worst = (f"{readable(FINE_NAMES[k])} ({accuracies[k]:.0%})" for k in known[[0, -1]])
    fig, axes = make_figure(9, 6.6, f"From {best} to {worst}: one number hides this", 1, 4, palette="flat", sharex=True)
    for ax, part in zip(axes, np.split(order, 4)):
        ax.axvline(mean, color="0.6", linewidth=0.8, linestyle="--")
        for place, k in enumerate(part):
            ax.plot(intervals[k], (place, place), color=TRAINING, linewidth=2.5, alpha=0.4, solid_capstyle="butt")
            ax.plot(accuracies[k], place, "o", color=TRAINING, markersize=5)
        ax.set_yticks(range(25), [readable(FINE_NAMES[k]) for k in part], fontsize=8)
        least = np.nanmin(intervals[known]) - 0.03
        ax.set(xlim=(least, 1.02), ylim=(24.6, -0.6))
        ax.xaxis.set_major_locator(MultipleLocator(0.25 if least > 0.2 else 0.5))
        ax.grid(axis="x", color="0.92")
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.spines[["top", "right"]].set_visible(False)
    fig.supxlabel(f"accuracy with its 95 % interval; dashed: the mean, {mean:.1%}", fontsize=9)
    return fig


def plot_superclass_confusion(confusion: np.ndarray) -> Picture:
    """How often a picture of each superclass is taken for each other one. Superclasses are ordered so that those that
    are taken for one another stand together; the diagonal is left out of the colours.

    confusion: (20, 20) counts, a row a true superclass.
    """
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    order = order_by_confusion(shares)
    shares = shares[np.ix_(order, order)]
    off_diagonal = np.where(np.eye(20, dtype=bool), 0, shares)
    true, guess = np.unravel_index(off_diagonal.argmax(), off_diagonal.shape)
    names = [readable(COARSE_NAMES[k]) for k in order]
    title = (
        f"{np.trace(confusion) / confusion.sum():.1%} stay in their superclass; most often lost: {names[true]} to "
        f"{names[guess]}"
    )
    fig, ax = make_figure(9, 7.6, title, palette="flat")
    shown = ax.imshow(np.where(np.eye(20, dtype=bool), np.nan, shares), cmap="viridis", interpolation="nearest")
    for k in range(20):
        ax.text(k, k, f"{shares[k, k]:.0%}", ha="center", va="center", fontsize=7)
        for other in range(20):
            if other != k and shares[k, other] >= 0.02:
                colour = "white" if shares[k, other] < 0.6 * off_diagonal.max() else "black"
                ax.text(other, k, f"{shares[k, other]:.0%}", ha="center", va="center", fontsize=7, color=colour)
    ax.set_xticks(range(20), names, rotation=60, ha="right", fontsize=8)
    ax.set_yticks(range(20), names, fontsize=8)
    ax.set(xlabel="predicted superclass", ylabel="true superclass")
    bar = fig.colorbar(shown, ax=ax, shrink=0.6, label="share of the true superclass's pictures")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1))
    return fig


def plot_confused_pairs(confusion: np.ndarray, examples: dict[tuple[int, int], np.ndarray]) -> Picture:
    """The most confused pairs of classes, a row each, a column for each direction, with mistaken pictures.

    confusion: (100, 100) counts, a row a true class; examples: (true class, predicted class) -> (n, 32, 32, 3) uint8,
    the most confused pair first, both directions in turn.
    """
    (first, second), *_ = examples
    count = confusion[first, second] + confusion[second, first]
    title = f"Most confused: {readable(FINE_NAMES[first])} and {readable(FINE_NAMES[second])}, {count} times"
    rows, across = len(examples) // 2, max(map(len, examples.values()))
    fig, axes = make_figure(9, 0.4 + 0.85 * rows, title, rows, 2, palette="flat", squeeze=False)
    for ax, ((true, guess), pictures) in zip(axes.flat, examples.items()):
        blank = np.full((across - len(pictures), 32, 32, 3), 255, np.uint8)
        show_pictures(ax, np.concatenate([pictures, blank]), across)
        words = f"{readable(FINE_NAMES[true])} taken for {readable(FINE_NAMES[guess])}: {confusion[true, guess]}"
        ax.set_title(words, fontsize=8.5, pad=3, loc="left")
    return fig


def plot_reliability(curves: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], errors: dict[str, float]) -> Picture:
    """Accuracy over confidence, a panel for each version of the probabilities; empty bins stay empty.

    curves: version -> (confidence, accuracy, count), (bins,) each; errors: version -> expected calibration error, 0..1.
    """
    first, last = list(errors)[0], list(errors)[-1]
    confidence, accuracy, count = curves[first]
    used = count > 0
    sure = (confidence[used] * count[used]).sum() > (accuracy[used] * count[used]).sum()
    title = (
        f"{'Over' if sure else 'Under'}confident: calibration error {errors[first]:.1%}; {last} leaves "
        f"{errors[last]:.1%}"
    )
    fig, axes = make_figure(
        9, 4.4, title, 2, len(curves), sharex=True, sharey="row", height_ratios=(3, 1), squeeze=False
    )
    for column, (name, (confidence, accuracy, count)) in enumerate(curves.items()):
        upper, lower = axes[:, column]
        bins = len(count)
        centres, used = (np.arange(bins) + 0.5) / bins, count > 0
        upper.bar(centres[used], accuracy[used], width=0.92 / bins, color=TRAINING, label="accuracy")
        upper.plot(confidence[used], confidence[used], "o", color=HELD, markersize=4, label="what it claims")
        upper.plot((0, 1), (0, 1), color="0.5", linewidth=0.8, linestyle="--")
        upper.set(ylim=(0, 1), xlim=(0, 1))
        upper.set_title(f"{name}: calibration error {errors[name]:.1%}", fontsize=10)
        lower.bar(centres, count / count.sum(), width=0.92 / bins, color="0.6")
        lower.set(xlabel="confidence of the prediction")
        for ax in (upper, lower):
            ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            ax.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0, 0].set_ylabel("accuracy")
    axes[0, 0].legend(frameon=False, fontsize=9, loc="upper left")
    axes[1, 0].set_ylabel("share of\npictures")
    return fig


def plot_coverage(coverage: np.ndarray, accuracy: np.ndarray, level: float = 0.9) -> Picture:
    """Accuracy on the pictures that are answered, over how many are. coverage, accuracy: (N,), rising coverage."""
    reaches = coverage[accuracy >= level]
    title = f"Answering {reaches.max():.0%} of the pictures, it is right in {level:.0%}" if len(reaches) else ""
    fig, ax = make_figure(9, 3.2, title or f"It is never right in {level:.0%} of what it answers")
    ax.plot(coverage, accuracy, color=TRAINING, linewidth=2)
    if len(reaches):
        ax.plot(reaches.max(), level, "o", color=HELD)
    ax.axhline(accuracy[-1], color="0.5", linewidth=0.8, linestyle="--")
    ax.annotate(f"all: {accuracy[-1]:.1%}", (0.01, accuracy[-1]), xytext=(0, 4), textcoords="offset points", fontsize=9)
    ax.set(xlabel="share of the pictures that are answered, the surest first", ylabel="accuracy", xlim=(0, 1))
    ax.set_ylim(min(0.95, accuracy[len(accuracy) // 20 :].min() - 0.05), 1.01)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    ax.grid(color="0.9")
    return fig


def plot_corruptions(accuracies: dict[str, list[float]], clean: float) -> Picture:
    """Accuracy over the severity of each corruption. accuracies: corruption -> one for each severity from 1, 0..1."""
    worst = min(accuracies, key=lambda name: accuracies[name][-1])
    title = (
        f"{worst[0].upper() + worst[1:]} hurts most: {clean:.0%} fall to {accuracies[worst][-1]:.0%} at the highest "
        "severity"
    )
    fig, ax = make_figure(9, 3.8, title)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, len(accuracies)))
    for (name, values), colour in zip(accuracies.items(), colours):
        ax.plot(range(len(values) + 1), [clean, *values], marker="o", markersize=4, color=colour, label=name)
    ax.set(xlabel="severity (0: the test picture as it is)", ylabel="accuracy", ylim=(0, 1))
    ax.set_xticks(range(6))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y", color="0.9")
    ends = [(len(values), values[-1]) for values in accuracies.values()]
    for name, end, (right, up) in zip(accuracies, ends, keep_apart(ends, height=0.07)):
        ax.annotate(name, end, (right + 0.15, up), fontsize=9, va="center",
                    arrowprops={"arrowstyle": "-", "color": "0.7", "linewidth": 0.7, "relpos": (0, 0.5)})  # fmt: skip
    ax.set_xlim(-0.15, 6.2)
    return fig


def plot_effective_field(gradients: dict[str, np.ndarray], fields: dict[str, int]) -> Picture:
    """What the centre unit of each stage really depends on, beside all that it could.

    gradients: stage -> (32, 32) mean absolute gradient, at most 1; fields: stage -> theoretical field in pixels. A
    frame holds every pixel that has any influence, where that is not the whole picture.
    """
    last = list(gradients)[-1]
    extent, even = effective_extent(gradients[last]), effective_extent(np.ones((32, 32)))
    title = f"{last.capitalize()}: half of the influence in {extent} x {extent} pixels"
    title += f"; spread evenly, in {even} x {even}"
    fig, axes = make_figure(9, 3.0, title, 1, len(gradients), squeeze=False)
    for ax, (stage, gradient) in zip(axes.flat, gradients.items()):
        shown = ax.imshow(gradient, cmap="viridis", vmin=0, vmax=1, extent=(0, 32, 32, 0))
        rows, columns = (np.flatnonzero(gradient.any(axis)) for axis in (1, 0))
        height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        if height < 32:
            corner = (columns[0], rows[0])
            ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=1))
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{stage}: {fields[stage]} px in theory{' (frame)' if height < 32 else ''}", fontsize=9)
    fig.colorbar(shown, ax=axes, shrink=0.8, label="mean |gradient|, scaled")
    return fig
