"""Figures of training: the range test, the curves of a run, and the accuracy of all recipes."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from cifar100.dataset.cifar import FINE_NAMES
from cifar100.figures.style import HELD, TRAINING, Picture, display_name, keep_apart, make_figure
from cifar100.lr_finder import SKIPPED, LrCurve
from cifar100.recipe import Recipe
from cifar100.runs.history import EpochRecord


def plot_lr_curve(curve: LrCurve, used: float, name: str, sample: bool | None = None) -> Picture:
    """The loss over the learning rate, with the suggestions of both methods and the rate of the recipe `name`."""
    title = f"{display_name(name)}: minimum / 10 says {curve.minimum / 10:.2g}, the recipe uses {used:g}"
    fig, ax = make_figure(9, 3.8, title, sample=sample)
    rates, losses, smoothed = (np.array(values) for values in (curve.rates, curve.losses, curve.smoothed))
    losses, smoothed = (np.where(np.isfinite(losses), values, np.nan) for values in (losses, smoothed))
    ax.plot(rates, losses, color="0.75", linewidth=0.8, label="loss of a batch")
    words = f"smoothed, without the\nfirst {SKIPPED} steps"
    ax.plot(rates[SKIPPED:], smoothed[SKIPPED:], color=TRAINING, linewidth=2, label=words)
    chance = np.log(len(FINE_NAMES))
    ax.axhline(chance, color="0.4", linewidth=0.9, linestyle=":", label=f"guessing: ln 100 = {chance:.2f}")
    marked = {
        "minimum / 10": (curve.minimum / 10, "#aa3377", "-"),
        "steepest descent": (curve.steepest, "#228833", "-"),
    }
    for label, (rate, colour, style) in (marked | {"the recipe's rate": (used, HELD, "--")}).items():
        if rate:
            ax.axvline(rate, color=colour, linewidth=1.8, linestyle=style, label=f"{label}: {rate:.2g}")
    at = int(np.abs(rates - curve.minimum).argmin())
    ax.plot(rates[at], smoothed[at], "o", color="#aa3377", markersize=7, label=f"the minimum, at {rates[at]:.2g}")
    low, high = np.nanmin(smoothed), np.nanmedian(smoothed[:10])
    ax.set(xscale="log", xlabel="learning rate (logarithmic)", ylabel="cross-entropy", xlim=(rates[0], rates[-1]))
    ax.set_ylim(low - 0.3 * (high - low) - 0.05, max(high, chance) + 0.9 * (high - low) + 0.1)
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return fig


def plot_history(
    history: list[EpochRecord], recipe: Recipe, title: str, levels: dict[str, float], sample: bool | None = None
) -> Picture:
    """Loss, accuracy and learning rate over the epochs; for 10 epochs or more also a close-up of the test accuracy in
    the last 30 epochs (or of the second half). Changes of rate or image size are dotted lines.

    levels: label -> accuracy, 0..1, to compare with, as dashed lines.
    """
    rows, columns = (2, 2) if len(history) >= 10 else (1, 3)
    fig, axes = make_figure(10, 2.4 * rows + 0.4, title, rows, columns, sample)
    loss, accuracy, rate, *end = axes.flat
    draw_curves(loss, history, "loss")
    if recipe.label_smoothing:
        loss.lines[0].set_label("training, smoothed labels")
    draw_curves(accuracy, history, "accuracy")
    loss.legend(fontsize=9, loc="upper right", edgecolor="none", framealpha=1)
    loss.set(xlabel="epoch", ylabel="loss (cross-entropy)")
    accuracy.set(xlabel="epoch", ylabel="top-1 accuracy", ylim=(0, 1))
    mark_reached(accuracy, history)
    rates = [record.lr for record in history]
    in_steps = len(set(rates)) <= len(rates) / 2  # a step schedule, which falls by factors
    rate.plot(range(1, len(rates) + 1), rates, color="0.25", drawstyle="steps-pre" if in_steps else None)
    rate.set(xlabel="epoch", ylabel="learning rate", yscale="log" if in_steps else "linear")
    rate.margins(y=0.15)
    loss.sharex(rate)
    accuracy.sharex(rate)
    for epoch, change in list_events(recipe).items():
        for ax in (loss, accuracy, rate):
            ax.axvline(epoch, color="0.5", linestyle=":", linewidth=1)
        place = {"xycoords": ("data", "axes fraction"), "xytext": (3, 0), "textcoords": "offset points"}
        accuracy.annotate(change, (epoch, 0.03), rotation=90, fontsize=8, color="0.35", **place)
    for ax in end:
        draw_curves(ax, history[-min(30, len(history) // 2) :], "accuracy", ("eval",))
        ax.set(xlabel="epoch, the last ones only", ylabel=f"{history[0].eval_split} accuracy")
    draw_levels(end[0] if end else accuracy, levels)
    for ax in axes.flat:
        ax.grid(axis="y", color="0.9")
        ax.xaxis.get_major_locator().set_params(integer=True)
    return fig


def list_events(recipe: Recipe) -> dict[float, str]:
    """The changes of learning rate or image size: epoch after which it happens -> label."""
    rates = {m: f"rate {recipe.lr * recipe.gamma**k:.2g}" for k, m in enumerate(recipe.milestones, start=1)}
    sides = [*(pixels for _, pixels in recipe.resolutions[1:]), 32]
    return rates | {until * recipe.epochs: f"{side} px" for (until, _), side in zip(recipe.resolutions, sides)}


def draw_curves(ax, history: list[EpochRecord], quantity: str, kinds: tuple[str, ...] = ("train", "eval")) -> None:
    """Draw the "loss" or the "accuracy" over the epochs."""
    looks = {"train": ("training", TRAINING), "eval": (history[0].eval_split, HELD)}
    for kind in kinds:
        label, colour = looks[kind]
        values = [getattr(record, f"{kind}_{quantity}") for record in history]
        marker = "o" if len(history) <= 30 else None
        ax.plot([record.epoch for record in history], values, color=colour, label=label, marker=marker, markersize=3)
    if quantity == "accuracy":
        ax.yaxis.set_major_formatter(PercentFormatter(1))


def draw_levels(ax, levels: dict[str, float]) -> None:
    """Draw dashed lines, labelled at the right."""
    for level in levels.values():
        ax.axhline(level, color="0.35", linestyle="--", linewidth=1)
    height = 0.13 * np.ptp(ax.get_ylim())
    for (name, level), (_, up) in zip(levels.items(), keep_apart([(0, level) for level in levels.values()], height)):
        place = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8, "color": "0.35"}
        ax.annotate(f"{name}:\n{level:.2%}", (1.01, up), **place)


def mark_reached(ax, history: list[EpochRecord]) -> None:
    """Mark the first epoch that reaches 50, 60 and 70%; if they are the same epoch, only the highest."""
    first = {}  # epoch -> accuracy
    for accuracy in (0.5, 0.6, 0.7):
        first |= {r.epoch: accuracy for r in [r for r in history if r.eval_accuracy >= accuracy][:1]}
    for epoch, accuracy in first.items():
        place = (epoch, history[epoch - 1].eval_accuracy)
        ax.plot(*place, marker="o", color=HELD, markersize=6, markerfacecolor="white")
        look = {"xytext": (3, -14), "textcoords": "offset points", "fontsize": 8, "color": HELD}
        ax.annotate(f"{accuracy:.0%}", place, **look)


def plot_overview(accuracies: dict[str, list[float]], reported: dict[str, float], asked: float) -> Picture:
    """Test accuracy by recipe, the best at the top: a dot per seed, a diamond for the recipe's report.

    accuracies: recipe -> accuracy of each seed after the last epoch, 0..1; reported: recipe -> the best epoch of its
    report, which several recipes may share; asked: the accuracy that the course asks for.
    """
    means = {name: float(np.mean(accuracies[name])) for name in accuracies}
    order = sorted(means, key=means.get)
    best, reports = order[-1], set(reported.values())
    beaten = {level for name, level in reported.items() if means[name] >= level}
    words = f"; {len(beaten)} of {len(reports)} reports reached by a recipe that starts from them" if reported else ""
    title = f"{display_name(best)}: {means[best]:.1%}{words}"
    fig, ax = make_figure(9, 1.3 + 0.33 * len(order), title, sample=False)
    for row, name in enumerate(order):
        label = None if row else "a seed, after the last epoch"
        ax.scatter(accuracies[name], [row] * len(accuracies[name]), s=50, color=TRAINING, alpha=0.7, label=label)
        ax.annotate(f"{means[name]:.2%}", (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    ax.axvline(asked, color="0.35", linestyle="--", linewidth=1, label=f"the course asks for {asked:.0%}")
    if reported:
        look = {"marker": "D", "s": 45, "facecolor": "none", "edgecolor": HELD, "linewidth": 1.5}
        ax.scatter([*reported.values()], [*map(order.index, reported)], label="the report, its best epoch", **look)
    ax.set_yticks(range(len(order)), map(display_name, order), fontsize=9)
    ax.set(xlabel="top-1 on the test set (at the right: the mean)", ylim=(-0.6, len(order) - 0.4))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.grid(color="0.92")
    ax.set_axisbelow(True)
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    return fig
