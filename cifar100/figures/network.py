"""Figures of a network: its block, the effect of shortcuts, and receptive fields."""

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from cifar100.explain.receptive_field import Block
from cifar100.figures.style import HELD, TRAINING, Picture, display_name, make_figure
from cifar100.runs.history import EpochRecord


def plot_block() -> Picture:
    """`model.BasicBlock`, without and with a change of shape."""
    fig, axes = make_figure(9, 3.6, "A residual block: y = ReLU(F(x) + shortcut(x))", 2, 1)
    box = {"boxstyle": "round,pad=0.5", "edgecolor": "0.4"}
    for ax, stride, shortcut in (
        (axes[0], "", "shortcut: the identity"),
        (axes[1], ",\nstride 2", "shortcut: 1x1 convolution, stride 2, batch norm"),
    ):
        ax.annotate("", (8.7, 0), (0.2, 0), arrowprops={"arrowstyle": "->", "color": "0.4", "lw": 1.5})
        steps = (f"3x3 convolution{stride}", "batch norm", "ReLU", "3x3 convolution", "batch norm", "+", "ReLU")
        for place, step in zip((1.5, 3, 4, 5.3, 6.75, 7.5, 8.1), steps):
            fill = {"facecolor": "#f4d9d4" if step == "+" else "#dde6f0"}
            ax.text(place, 0, step, fontsize=8.5, ha="center", va="center", bbox=box | fill)
        ax.plot((0.4, 0.4, 7.5), (0, 1.1, 1.1), color=HELD, linewidth=2)
        ax.annotate("", (7.5, 0.22), (7.5, 1.14), arrowprops={"arrowstyle": "->", "color": HELD, "lw": 2})
        ax.text(3.9, 1.1, shortcut, fontsize=8.5, ha="center", va="center", bbox=box | {"facecolor": "#f4d9d4"})
        ax.plot((0.7, 0.7, 7.25, 7.25), (-0.45, -0.6, -0.6, -0.45), color="0.4", linewidth=1)  # a bracket
        for place, height, name in ((0.05, 0, "x"), (8.85, 0, "y"), (4, -0.85, "F(x)")):
            ax.text(place, height, name, fontsize=12, style="italic", ha="center", va="center")
        where = "at the start of a stage, where the shape changes" if stride else "within a stage"
        ax.set_title(where, fontsize=9, loc="left")
        ax.set(xlim=(-0.1, 9), ylim=(-1.1, 1.5))
        ax.set_axis_off()
    return fig


def plot_gradient_norms(norms: dict[str, np.ndarray]) -> Picture:
    """The norm of the gradient of each 3x3 convolution's filters divided by the norm of the filters. The title compares
    the first two kinds of network. norms: kind -> (L,), from input to output; values that are 0 or not finite are not
    drawn."""
    known = {name: values for name, values in norms.items() if np.isfinite(values).all() and values.min() > 0}
    words = [f"{values.max() / values.min():,.0f}-fold {name}" for name, values in known.items()]
    title = f"Largest over smallest relative change of a layer: {', '.join(words[:2])}"
    fig, ax = make_figure(9, 3.6, title)
    for (name, values), colour in zip(norms.items(), (TRAINING, HELD, "#228833", "0.4")):
        shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        ax.plot(range(1, len(values) + 1), shown, color=colour, linewidth=2, marker="o", markersize=3, label=name)
    ax.set(yscale="log", xlabel="3x3 convolution, counted from the input")
    ax.set_ylabel("norm of the gradient /\nnorm of the filters")
    ax.grid(axis="y", color="0.9")
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def plot_shortcuts(curves: dict[str, list[EpochRecord]]) -> Picture:
    """The accuracy of networks with and without shortcuts over the epochs of published runs. curves: kind of network ->
    history."""
    ends = [f"{history[-1].eval_accuracy:.1%} {name}" for name, history in curves.items()]
    epochs = max(len(history) for history in curves.values())
    fig, ax = make_figure(9, 3.4, f"After {epochs} epochs: {', '.join(ends)}", sample=False)
    for (name, history), colour in zip(curves.items(), (TRAINING, HELD)):
        numbers = [record.epoch for record in history]
        for kind, style, words in (("eval", "-", history[0].eval_split), ("train", "--", "training")):
            values = [getattr(record, f"{kind}_accuracy") for record in history]
            ax.plot(numbers, values, style, color=colour, marker="o", markersize=3, label=f"{name}: {words}")
    ax.set(xlabel="epoch", ylabel="top-1 accuracy", ylim=(0, None))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.grid(axis="y", color="0.9")
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def plot_receptive_fields(blocks: list[Block], image: np.ndarray, name: str) -> Picture:
    """Left: the receptive field of each stage as a frame around the centre of the image. Right: the receptive field of
    each block. image: (32, 32, 3) uint8."""
    stages: dict[str, list[int]] = {}  # "stem", "stage 1", ... -> the fields of its blocks
    for block in blocks[:-1]:  # the head has the field of the last block
        stages.setdefault(block.name.split(",")[0], []).append(block.receptive_field)
    side, whole, start = 32, 2 * 32 - 1, 0  # from one corner to the opposite one
    first = next((f"from {block.name} on, every unit" for block in blocks if block.receptive_field >= whole), "no unit")
    title = f"{display_name(name)}: {first} can see the whole image"
    fig, (left, right) = make_figure(9, 3.8, title, 1, 2, width_ratios=(1, 1.6))
    left.imshow(image, extent=(0, side, side, 0), interpolation="nearest")
    for (stage, fields), shade in zip(stages.items(), np.linspace(0.15, 0.9, len(stages))):
        colour = matplotlib.colormaps["viridis_r"](shade)  # later stages are darker
        corner, size = (side - fields[-1]) / 2, fields[-1]
        beyond = ", not drawn at the left" if size > 120 else ""
        left.add_patch(Rectangle((corner, corner), size, size, fill=False, edgecolor=colour, linewidth=2))
        right.bar(range(start, start + len(fields)), fields, color=colour, label=f"{stage}: {size} px{beyond}")
        start += len(fields)
    left.set(xlim=(-44, 76), ylim=(76, -44))  # 120 pixels
    left.set_axis_off()
    left.set_title("receptive fields of a central unit\n(larger ones extend beyond the image)", fontsize=9)
    right.axhline(whole, color="0.3", linestyle="--", linewidth=1)
    right.text(-0.4, whole + 3, f"{whole} px: a corner unit sees all", fontsize=8)
    right.set(xlabel="block, from the stem on", ylabel="receptive field in pixels", xticks=[])
    right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.95))
    return fig
