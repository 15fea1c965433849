"""Figures of a training: the range test, the curves of a run, and what it predicts."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from cifar100.dataset.cifar import FINE_NAMES, readable
from cifar100.figures.style import HELD, TRAINING, Picture, display_name, keep_apart, make_figure
from cifar100.lr_finder import SKIPPED, LrCurve
from cifar100.recipes import RECIPES
from cifar100.runs.run import THRESHOLDS, EpochRecord


def plot_lr_curve(curve: LrCurve, used: float, name: str) -> Picture:
    """The loss over the learning rate, with both rules' suggestions and the rate that the recipe `name` uses."""
    title = f"{display_name(name)}: minimum / 10 says {curve.fallback:.2g}, the recipe uses {used:g}"
    fig, ax = make_figure(9, 3.8, title)
    rates, losses, smoothed = (np.array(values) for values in (curve.rates, curve.losses, curve.smoothed))
    shown = np.isfinite(losses)
    ax.plot(rates[shown], losses[shown], color="0.75", linewidth=0.8, label="loss of a batch")
    ax.plot(rates[SKIPPED:][shown[SKIPPED:]], smoothed[SKIPPED:][shown[SKIPPED:]], color=TRAINING, linewidth=2,
            label="smoothed")  # fmt: skip
    chance = np.log(len(FINE_NAMES))
    ax.axhline(chance, color="0.4", linewidth=0.9, linestyle=":", label=f"guessing among 100: ln 100 = {chance:.2f}")
    marked = {f"minimum / 10: {curve.fallback:.2g}": (curve.fallback, "#aa3377", "-")}
    if curve.steepest:
        marked[f"steepest descent: {curve.steepest:.2g}"] = (curve.steepest, "#228833", "-")
    marked[f"the recipe's rate: {used:g}"] = (used, HELD, "--")
    for label, (rate, colour, style) in marked.items():
        ax.axvline(rate, color=colour, linewidth=1.8, linestyle=style, label=label)
    at = int(np.abs(rates - 10 * curve.fallback).argmin())
    ax.plot(rates[at], smoothed[at], "o", color="#aa3377", markersize=7, label=f"the minimum, at {rates[at]:.2g}")
    finite = smoothed[np.isfinite(smoothed)]
    low, high = finite.min(), np.median(finite[:10])
    ax.set(xscale="log", xlabel="learning rate (logarithmic)", ylabel="cross-entropy", xlim=(rates[0], rates[-1]))
    ax.set_ylim(low - 0.3 * (high - low) - 0.05, max(high, chance) + 0.9 * (high - low) + 0.1)
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return fig


def plot_losses(losses: list[float], title: str, drops: list[int]) -> Picture:
    """The loss of step after step. drops: the steps after which the rate falls."""
    fig, ax = make_figure(9, 2.8, title)
    ax.plot(range(1, len(losses) + 1), losses, color=TRAINING, linewidth=1.5)
    ax.axhline(np.log(len(FINE_NAMES)), color="0.4", linewidth=0.9, linestyle=":", label="guessing: ln 100")
    for number, step in enumerate(drops):
        ax.axvline(step, color="0.5", linestyle="--", linewidth=1, label=None if number else "the rate falls")
    ax.set(xlabel="step", ylabel="cross-entropy", ylim=(0, None))
    ax.legend(frameon=False, fontsize=9)
    return fig


def plot_history(
    history: list[EpochRecord],
    title: str,
    changes: dict[float, str] | None = None,
    levels: dict[str, float] | None = None,
) -> Picture:
    """Loss, accuracy and learning rate over the epochs on one page; the first epoch that reaches a round accuracy is
    marked.

    changes: after which epochs something changes, and what, as dotted lines. levels: accuracies, 0..1, to compare with,
    by their names, as dashed lines.
    """
    fig, axes = make_figure(9, 7.5, title, 3, 1, palette="flat", sharex=True, height_ratios=(3, 3, 1.6))
    loss, accuracy, rate = axes
    epochs, changes, levels = [record.epoch for record in history], changes or {}, levels or {}
    held = history[0].eval_split
    marker = "o" if len(history) <= 20 else None
    for ax, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        for kind, label, colour in (("train", "training", TRAINING), ("eval", held, HELD)):
            values = [getattr(record, f"{kind}_{quantity}") for record in history]
            ax.plot(epochs, values, color=colour, label=label, marker=marker, markersize=3)
    for (name, level), shade in zip(levels.items(), np.linspace(0.2, 0.6, len(levels))):
        accuracy.axhline(level, color=str(shade), linestyle="--", linewidth=1, label=f"{name}: {level:.2%}")
    loss.legend(frameon=False, fontsize=9, loc="upper right")
    high = history[-1].eval_accuracy > 0.5  # then there is room below the curves, else above them
    place = {"loc": "lower right", "bbox_to_anchor": (1, 0.08)} if high else {"loc": "upper left"}
    accuracy.legend(frameon=False, fontsize=9, **place)
    loss.set_ylabel("loss (cross-entropy)")
    accuracy.set(ylabel="top-1 accuracy", ylim=(0, 1))
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    mark_reached(accuracy, history)
    rates = [record.lr for record in history]
    in_steps = len(set(rates)) <= len(rates) / 2
    rate.plot(epochs, rates, color="0.25", drawstyle="steps-pre" if in_steps else None)
    rate.set(ylabel="learning rate\nat the epoch's end", xlabel="epoch")
    if in_steps:  # by factors
        rate.set_yscale("log")
        rate.margins(y=0.15)
    else:
        rate.set_ylim(0, None)
    rate.xaxis.get_major_locator().set_params(integer=True)
    for ax in (loss, accuracy, rate):
        ax.grid(axis="y", color="0.9")
        ax.set_axisbelow(True)
        for epoch in changes:
            ax.axvline(epoch, color="0.5", linestyle=":", linewidth=1)
    for epoch, change in changes.items():
        accuracy.annotate(change, (epoch, 0.03), xycoords=("data", "axes fraction"), xytext=(3, 0), fontsize=8,
                          textcoords="offset points", color="0.35")  # fmt: skip
    return fig


def plot_rates(rates: dict[str, list[float]]) -> Picture:
    """How recipes change their learning rate over a training. rates: recipe -> shares of its largest rate, evenly
    spaced; recipes that do nearly the same share a line."""
    fig, ax = make_figure(9, 3, "How the learning rate changes over a training", palette="flat", published=True)
    places, lines = np.linspace(0, 1, 401), []
    for name, shares in rates.items():
        curve = np.array(shares)[np.minimum((places * len(shares)).astype(int), len(shares) - 1)]
        same = next((names for other, names in lines if np.abs(other - curve).max() < 0.15), None)
        if same is None:
            lines.append((curve, [name]))
        else:
            same.append(name)
    for number, (curve, (first, *others)) in enumerate(lines):
        label = display_name(first) + (f" and {len(others)} more" if others else "")
        ax.plot(places, curve, color=f"C{number}", linewidth=2, label=label)
    ax.set(xlabel="share of the training", ylabel="share of the largest rate", ylim=(0, 1.05))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def plot_accuracy_over_computation(
    points: dict[str, tuple[float, float]], reported: dict[str, tuple[float, float]]
) -> Picture:
    """Test accuracy over what a training computes, a colour for each network; diamonds for what the reports of these
    recipes say. points, reported: recipe -> (multiply-adds, accuracy 0..1)."""
    best, least = max(points, key=lambda name: points[name][1]), min(points, key=lambda name: points[name][0])
    title = f"{display_name(best)}: {points[best][1]:.1%}"
    if least != best:
        share = points[best][0] / points[least][0]
        title += f"; {display_name(least)}: {points[least][1]:.1%} for 1/{share:.0f} of the work"
    fig, ax = make_figure(9, 4.6, title, published=True)
    networks = list(dict.fromkeys(RECIPES[name].network for name in points))
    right = np.log10([cost for cost, _ in points.values()])
    words = keep_apart(np.stack([right, [accuracy for _, accuracy in points.values()]], 1), height=0.008, width=0.6)
    for (name, end), (_, up) in zip(points.items(), words):
        colour = f"C{networks.index(RECIPES[name].network)}"
        ax.plot(*end, "o", color=colour, markersize=8, zorder=3)
        if name in reported:
            ax.plot(*zip(end, reported[name]), color=colour, linewidth=1.2)
            ax.plot(*reported[name], "D", color=colour, markersize=7, markerfacecolor="white", zorder=4)
        place = {"xytext": (end[0] * 1.13, up), "va": "center"}
        ax.annotate(f"{display_name(name)}, {end[1]:.2%}", end, **place, fontsize=9, color=colour)
    if reported:
        ax.plot([], [], "D", color="0.35", markersize=7, markerfacecolor="white", label="what its report says")
        ax.legend(frameon=False, fontsize=9, loc="lower right")
    ax.set(xscale="log", xlabel="multiply-adds of the training (logarithmic)", ylabel="top-1 on the test set")
    accuracies = [accuracy for _, accuracy in (*points.values(), *reported.values())]
    ax.set_ylim(min(accuracies) - 0.015, max(accuracies) + 0.015)
    ax.set_xlim(10 ** (right.min() - 0.2), 10 ** (right.max() + 0.9))  # room for the words
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.grid(color="0.93")
    ax.set_axisbelow(True)
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


def plot_overview(accuracies: dict[str, list[float]], reported: dict[str, float]) -> Picture:
    """Test accuracy by recipe, the best at the top: a dot for each seed, a diamond for what the recipe's report says.

    accuracies: recipe -> of each seed after the last epoch, 0..1; reported: recipe -> of the report's best epoch.
    """
    means = {name: float(np.mean(accuracies[name])) for name in accuracies}
    order = sorted(means, key=means.get)
    best, beaten = order[-1], sum(means[name] >= level for name, level in reported.items())
    title = f"{display_name(best)}: {means[best]:.1%}"
    if reported:
        title += f"; {beaten} of {len(reported)} reports matched by the mean of our seeds"
    fig, ax = make_figure(9, 1.3 + 0.33 * len(order), title, published=True)
    for row, name in enumerate(order):
        ax.plot(accuracies[name], [row] * len(accuracies[name]), "o", color=TRAINING, markersize=7, alpha=0.7,
                label=None if row else "a seed, after the last epoch")  # fmt: skip
        ax.annotate(f"{means[name]:.2%}", (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    if reported:
        rows = [order.index(name) for name in reported]
        look = {"color": HELD, "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.5}
        ax.plot(list(reported.values()), rows, "D", label="the report, its best epoch", **look)
    ax.set_yticks(range(len(order)), map(display_name, order), fontsize=9)
    ax.set(xlabel="top-1 on the test set (at the right: the mean)", ylim=(-0.6, len(order) - 0.4))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.grid(color="0.92")
    ax.set_axisbelow(True)
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    return fig
