"""Figures of a training: the range test, the curves of a run, and what it predicts."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from cifar100.dataset.cifar import FINE_NAMES, readable
from cifar100.figures.style import HELD, TRAINING, Picture, make_figure
from cifar100.runs.run import THRESHOLDS, EpochRecord
from cifar100.training.lr_finder import SKIPPED, LrCurve


def plot_lr_curve(curve: LrCurve, used: float, name: str) -> Picture:
    """The loss over the learning rate, with the suggestion and the rate that the recipe `name` uses."""
    title = f"{name}: the range test suggests {curve.suggestion:.2g}, the recipe uses {used:g}"
    fig, ax = make_figure(9, 3.8, title)
    rates, losses, smoothed = (np.array(values) for values in (curve.rates, curve.losses, curve.smoothed))
    ax.plot(rates, losses, color="0.75", linewidth=0.8, label="loss of a batch")
    ax.plot(rates[SKIPPED:], smoothed[SKIPPED:], color=TRAINING, linewidth=2, label="smoothed")
    marked = {f"suggestion ({curve.method}): {curve.suggestion:.2g}": (curve.suggestion, "#228833", "-")}
    if curve.steepest:
        marked[f"another rule, minimum / 10: {curve.fallback:.2g}"] = (curve.fallback, "#aa3377", ":")
    marked[f"the recipe's peak: {used:g}"] = (used, HELD, "--")
    for label, (rate, colour, style) in marked.items():
        ax.axvline(rate, color=colour, linewidth=1.8, linestyle=style, label=label)
    finite = smoothed[np.isfinite(smoothed)]
    low, high = finite.min(), np.median(finite[:10])
    ax.set(xscale="log", xlabel="learning rate (logarithmic)", ylabel="cross-entropy", xlim=(rates[0], rates[-1]))
    ax.set_ylim(low - 0.3 * (high - low) - 0.05, high + 0.6 * (high - low) + 0.1)
    ax.legend(fontsize=9, loc="upper right")
    return fig


def plot_history(history: list[EpochRecord], milestones: tuple[float, ...], title: str) -> Picture:
    """Loss, accuracy and learning rate over the epochs on one page; drops of the rate are dotted lines, and the
    first epoch that reaches a round accuracy is marked. milestones: epochs after which the rate drops."""
    fig, (loss, accuracy, rate) = make_figure(9, 7.5, title, 3, 1, sharex=True, height_ratios=(3, 3, 1.6))
    epochs = [record.epoch for record in history]
    held = history[0].eval_split
    marker = "o" if len(history) <= 20 else None
    for ax, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        for kind, label, colour in (("train", "training", TRAINING), ("eval", held, HELD)):
            values = [getattr(record, f"{kind}_{quantity}") for record in history]
            ax.plot(epochs, values, color=colour, label=label, marker=marker, markersize=3)
        ax.legend(frameon=False, fontsize=9, loc="upper right" if ax is loss else "upper left")
    loss.set_ylabel("loss (cross-entropy)")
    accuracy.set(ylabel="top-1 accuracy", ylim=(0, 1))
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    mark_reached(accuracy, history)
    rate.plot(epochs, [record.lr for record in history], color="0.25", drawstyle="steps-pre" if milestones else None)
    rate.set(ylabel="learning rate\nat the epoch's end", xlabel="epoch", ylim=(0, None))
    rate.xaxis.get_major_locator().set_params(integer=True)
    for ax in (loss, accuracy, rate):
        ax.grid(axis="y", color="0.9")
        ax.set_axisbelow(True)
        for milestone in milestones:
            ax.axvline(milestone, color="0.5", linestyle=":", linewidth=1)
    return fig


def mark_reached(ax, history: list[EpochRecord]) -> None:
    """A dot with a label at the first epoch that reaches each round accuracy; close ones share the last's label."""
    first = {}  # epoch -> the highest threshold that it is the first to reach
    for threshold in THRESHOLDS:
        epoch = next((record.epoch for record in history if record.eval_accuracy >= threshold), None)
        if epoch:
            first[epoch] = threshold
    for epoch, threshold in first.items():
        place = (epoch, history[epoch - 1].eval_accuracy)
        ax.plot(*place, marker="o", color=HELD, markersize=6, markerfacecolor="white")
        ax.annotate(
            f"{threshold:.0%}", place, xytext=(3, -14), textcoords="offset points", fontsize=8, color=HELD, ha="left"
        )


def plot_predictions(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, title: str) -> Picture:
    """Pictures with their true class, and the predicted one where it differs, with its probability.

    images: (N, 32, 32, 3) uint8; labels: (N,); probabilities: (N, 100).
    """
    columns = 8
    rows = -(-len(images) // columns)
    fig, axes = make_figure(9, 0.5 + 1.5 * rows, title, rows, columns, palette="flat", squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, label, shares in zip(axes.flat, images, labels, probabilities):
        ax.imshow(image, interpolation="nearest")
        guess = shares.argmax()
        caption = f"{readable(FINE_NAMES[guess])} {shares[guess]:.0%}"
        if guess != label:
            caption += f"\nis: {readable(FINE_NAMES[label])}"
        ax.set_title(caption, fontsize=7.5, pad=3, color="black" if guess == label else HELD)
    return fig
