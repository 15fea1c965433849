"""Figures of an evaluation: accuracy by class, confusions and calibration."""

import numpy as np
from matplotlib.ticker import MultipleLocator, PercentFormatter

from cifar100.dataset.cifar import COARSE_NAMES, FINE_NAMES, readable
from cifar100.evaluation.metrics import order_by_confusion
from cifar100.figures.style import HELD, TRAINING, Picture, make_figure


def plot_class_accuracy(accuracies: np.ndarray, intervals: np.ndarray) -> Picture:
    """The accuracy of every class with its interval, best first.

    accuracies: (100,) in 0..1, NaN (not drawn) for a class without images; intervals: (100, 2) in 0..1.
    """
    order = np.argsort(-np.nan_to_num(accuracies, nan=-1), kind="stable")
    known, mean = order[np.isfinite(accuracies[order])], np.nanmean(accuracies)
    best, worst = (f"{readable(FINE_NAMES[k])} ({accuracies[k]:.0%})" for k in known[[0, -1]])
    fig, axes = make_figure(9, 6.6, f"Accuracy by class, from {best} to {worst}", 1, 4, sharex=True)
    for ax, part in zip(axes, np.split(order, 4)):
        ax.axvline(mean, color="0.6", linewidth=0.8, linestyle="--")
        for place, k in enumerate(part):
            ax.plot(intervals[k], (place, place), color=TRAINING, linewidth=2.5, alpha=0.4, solid_capstyle="butt")
            ax.plot(accuracies[k], place, "o", color=TRAINING, markersize=5)
        ax.set_yticks(range(25), [readable(FINE_NAMES[k]) for k in part], fontsize=8)
        ax.set(xlim=(0, 1.02), ylim=(24.6, -0.6))
        ax.xaxis.set_major_locator(MultipleLocator(0.5))
        ax.grid(axis="x", color="0.92")
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    fig.supxlabel(f"accuracy with its 95% interval; dashed: the mean, {mean:.1%}", fontsize=9)
    return fig


def plot_superclass_confusion(confusion: np.ndarray) -> Picture:
    """The confusion matrix of the superclasses, ordered so that confused ones are neighbours. The diagonal is not
    coloured. confusion: (20, 20) counts, a row per true superclass."""
    import seaborn  # here, because it is slow to import

    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    order = order_by_confusion(shares)
    shares = shares[np.ix_(order, order)]
    diagonal = np.eye(20, dtype=bool)
    others = np.where(diagonal, np.nan, shares)
    true, guess = np.unravel_index(np.nanargmax(others), others.shape)
    names = [readable(COARSE_NAMES[k]) for k in order]
    stay = np.trace(confusion) / confusion.sum()
    title = f"{stay:.1%} in the correct superclass; most frequent error: {names[true]} as {names[guess]}"
    fig, ax = make_figure(9, 7.6, title)
    words = "White diagonal: share of a superclass that is classified correctly. Colours: shares of other predictions."
    ax.set_title(words, fontsize=8.5, loc="right", pad=8)
    texts = np.where(shares >= 0.02, np.char.mod("%.0f%%", 100 * shares), "")
    label = "share of the true superclass's images"
    bar = {"shrink": 0.6, "label": label, "format": PercentFormatter(1)}
    look = {"cmap": "viridis", "annot_kws": {"fontsize": 7}, "xticklabels": names, "yticklabels": names, "square": True}
    seaborn.heatmap(others, mask=diagonal, annot=texts, fmt="", cbar_kws=bar, ax=ax, **look)
    for k in range(20):
        ax.text(k + 0.5, k + 0.5, f"{shares[k, k]:.0%}", ha="center", va="center", fontsize=7)
    ax.tick_params(labelsize=8)
    ax.set_xticks(ax.get_xticks(), names, rotation=60, ha="right", rotation_mode="anchor")
    ax.set(xlabel="predicted superclass", ylabel="true superclass")
    return fig


def plot_reliability(curves: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], errors: dict[str, float]) -> Picture:
    """Reliability diagrams: accuracy over confidence, a panel per version of the probabilities.

    curves: version -> (confidence, accuracy, count), (bins,) each; errors: version -> expected calibration error, 0..1.
    """
    confidence, accuracy, count = next(iter(curves.values()))
    sure, right = (np.nansum(share * count) / count.sum() for share in (confidence, accuracy))
    title = f"{'Over' if sure > right else 'Under'}confident: {sure:.1%} confident on average, {right:.1%} correct"
    grid = {"sharex": True, "sharey": "row", "height_ratios": (3, 1), "squeeze": False}
    fig, axes = make_figure(9, 4.4, title, 2, len(curves), **grid)
    for (upper, lower), (name, (confidence, accuracy, count)) in zip(axes.T, curves.items()):
        centres, bins = (np.arange(len(count)) + 0.5) / len(count), {"width": 0.92 / len(count)}
        upper.bar(centres[count > 0], accuracy[count > 0], color=TRAINING, label="accuracy", **bins)
        upper.plot(confidence[count > 0], confidence[count > 0], "o", color=HELD, markersize=4, label="confidence")
        upper.plot((0, 1), (0, 1), color="0.5", linewidth=0.8, linestyle="--")
        upper.set(ylim=(0, 1), xlim=(0, 1))
        upper.set_title(f"{name}: calibration error {errors[name]:.1%}", fontsize=10)
        lower.bar(centres, count / count.sum(), color="0.6", **bins)
        lower.set(xlabel="confidence of the prediction")
        for axis in (upper.yaxis, lower.yaxis, upper.xaxis, lower.xaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0, 0].set_ylabel("accuracy")
    axes[0, 0].legend(frameon=False, fontsize=9, loc="upper left")
    axes[1, 0].set_ylabel("share of\nimages")
    return fig
