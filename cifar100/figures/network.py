"""Figures of a network: its block, how the gradient passes it, its stages, and how far a unit of each block sees."""

import matplotlib
import numpy as np
from matplotlib.patches import FancyBboxPatch, Rectangle

from cifar100.explain.receptive_field import Block
from cifar100.figures.style import HELD, TRAINING, Picture, display_name, make_figure

INPUT = 32  # pixels


def plot_block() -> Picture:
    """The residual block as `model.BasicBlock` computes it, where the shape stays and where it changes."""
    fig, axes = make_figure(9, 3.6, "A residual block: y = ReLU(F(x) + x)", 2, 1)
    steps = ("3x3 convolution", "norm", "ReLU", "3x3 convolution", "norm")
    for ax, changes in zip(axes, (False, True)):
        ax.text(0.0, 0, "x", fontsize=13, style="italic", ha="center", va="center")
        left = 0.55
        for k, step in enumerate(steps):
            words = step + ", stride 2" if changes and k == 0 else step
            width = 0.55 + 0.085 * len(words)
            draw_box(ax, left, 0, width, words, "#dde6f0")
            draw_arrow(ax, left - 0.4, left)
            left += width + 0.4
        draw_arrow(ax, left - 0.4, left)
        ax.text(left + 0.2, 0, "+", fontsize=13, ha="center", va="center", bbox={"boxstyle": "circle", "fc": "#f4d9d4"})
        draw_arrow(ax, left + 0.45, left + 0.85)
        draw_box(ax, left + 0.85, 0, 0.9, "ReLU", "#dde6f0")
        draw_arrow(ax, left + 1.75, left + 2.1)
        ax.text(left + 2.25, 0, "y", fontsize=13, style="italic", ha="center", va="center")
        ax.plot((0.25, 0.25, left + 0.2), (0, 1.05, 1.05), color=HELD, linewidth=2)
        ax.annotate("", (left + 0.2, 0.25), (left + 0.2, 1.05), arrowprops={"arrowstyle": "->", "color": HELD, "lw": 2})
        words = "1x1 convolution, stride 2, and norm: x in the new shape" if changes else "the shortcut: x as it is"
        width = 0.6 + 0.085 * len(words)
        draw_box(ax, (left + 0.45 - width) / 2, 1.05, width, words, "#f4d9d4")
        ax.text(left / 2 - 0.1, -0.75, "F(x)", fontsize=11, style="italic", ha="center", va="center")
        ax.set_title(
            "at the start of a stage, where the shape changes" if changes else "within a stage", fontsize=9, loc="left"
        )
        ax.set(xlim=(-0.3, left + 2.5), ylim=(-1.0, 1.5))
        ax.set_axis_off()
    return fig


def draw_box(ax, left: float, height: float, width: float, words: str, colour: str) -> None:
    """A rounded box with words in it, its middle at `height`."""
    style = "round,pad=0,rounding_size=0.12"
    box = FancyBboxPatch((left, height - 0.25), width, 0.5, boxstyle=style, facecolor=colour, edgecolor="0.4", zorder=3)
    ax.add_patch(box)
    ax.text(left + width / 2, height, words, fontsize=8.5, ha="center", va="center", zorder=4)


def draw_arrow(ax, start: float, end: float) -> None:
    ax.annotate("", (end, 0), (start, 0), arrowprops={"arrowstyle": "->", "color": "0.4"})


def plot_gradient_norms(norms: dict[str, np.ndarray]) -> Picture:
    """The gradient's norm at each 3x3 convolution. norms: kind of network -> (L,), from the input on."""
    falls = {name: values[0] / values[-1] for name, values in norms.items()}
    (first, low), (second, high) = falls.items()
    title = f"Back to the input the gradient grows {high:,.0f}-fold {second}, {low:,.0f}-fold {first}"
    fig, ax = make_figure(9, 3.6, title)
    for (name, values), colour in zip(norms.items(), (TRAINING, HELD)):
        ax.plot(range(1, len(values) + 1), values, color=colour, linewidth=2, marker="o", markersize=3, label=name)
    ax.set(yscale="log", xlabel="3x3 convolution, counted from the input", ylabel="norm of the gradient at its filters")
    ax.grid(axis="y", color="0.9")
    ax.legend(frameon=False, fontsize=9)
    return fig


def stage_colour(stage: int, stages: int):
    """Later stages are darker."""
    return matplotlib.colormaps["viridis_r"](0.15 + 0.75 * stage / max(stages - 1, 1))


def group_by_stage(blocks: list[Block]) -> dict[str, list[Block]]:
    """The blocks of each stage, under "stem", "stage 1", ..., "head"."""
    stages: dict[str, list[Block]] = {}
    for block in blocks:
        stages.setdefault(block.name.split(",")[0], []).append(block)
    return stages


def plot_stages(blocks: list[Block], name: str) -> Picture:
    """A box for each stage: as high as its feature map, as wide as its channels are many (logarithmic)."""
    stages = group_by_stage(blocks)
    parameters = sum(block.parameters for block in blocks)
    title = f"{display_name(name)}: as the map shrinks, the channels grow ({parameters:,} parameters)"
    fig, ax = make_figure(9, 3.3, title)
    left = 0.0
    for number, (stage, members) in enumerate(stages.items()):
        last = members[-1]
        width, height = 0.35 * np.log2(last.out_channels), last.out_size
        colour = stage_colour(number, len(stages))
        ax.add_patch(Rectangle((left, -height / 2), width, height, facecolor=colour, edgecolor="white"))
        centre = left + width / 2
        blocks_here = f"{len(members)} blocks" if len(members) > 1 else ""
        share = sum(block.parameters for block in members) / parameters
        percent = f"{share:.0%}" if share >= 0.01 else "< 1%"
        ax.text(centre, 18, f"{stage}\n{blocks_here}", ha="center", va="bottom", fontsize=9)
        size = (
            f"{last.out_channels} x {last.out_size} x {last.out_size}" if last.out_size > 1 else f"{last.out_channels}"
        )
        ax.text(centre, -18, f"{size}\n{percent} of weights", ha="center", va="top", fontsize=8)
        if number:
            ax.annotate("", (left - 0.02, 0), (left - 0.78, 0), arrowprops={"arrowstyle": "->", "color": "0.4"})
        left += width + 0.8
    ax.set(xlim=(-0.6, left - 0.2), ylim=(-27, 27))
    ax.set_axis_off()
    return fig


def plot_receptive_fields(blocks: list[Block], picture: np.ndarray, name: str) -> Picture:
    """Left: the last receptive field of each stage, as a frame around the picture's centre. Right: the
    field's growth block by block. picture: (32, 32, 3) uint8."""
    stages = {stage: members for stage, members in group_by_stage(blocks).items() if stage != "head"}
    widest = max(members[-1].receptive_field for members in stages.values())
    first = next((b for b in blocks if b.receptive_field >= 2 * INPUT - 1), None)
    title = f"{display_name(name)}: a unit of the last stage can depend on {widest} x {widest} pixels"
    if first:  # a unit at one edge then sees the other edge
        title = f"{display_name(name)}: from {first.name} on, every unit can see the whole picture"
    fig, (left, right) = make_figure(9, 3.8, title, 1, 2, width_ratios=(1, 1.6))
    left.imshow(picture, extent=(0, INPUT, INPUT, 0), interpolation="nearest")
    for number, members in enumerate(stages.values()):
        field, colour = members[-1].receptive_field, stage_colour(number, len(stages))
        corner = INPUT / 2 - field / 2
        left.add_patch(Rectangle((corner, corner), field, field, fill=False, edgecolor=colour, linewidth=2))
    margin = min(widest, 4 * INPUT) / 2 + 2
    left.set(xlim=(INPUT / 2 - margin, INPUT / 2 + margin), ylim=(INPUT / 2 + margin, INPUT / 2 - margin))
    left.set_axis_off()
    outside = [stage for stage, members in stages.items() if members[-1].receptive_field > 2 * margin]
    left.set_title(f"one unit's field{f' ({outside[0]} lies outside)' if outside else ', stage by stage'}", fontsize=9)

    start = 0
    for number, (stage, members) in enumerate(stages.items()):
        places = np.arange(start, start + len(members))
        fields = [block.receptive_field for block in members]
        right.bar(places, fields, width=0.8, color=stage_colour(number, len(stages)), label=f"{stage}: {fields[-1]} px")
        start += len(members)
    whole = 2 * INPUT - 1  # a unit in one corner then sees the opposite one
    right.axhline(whole, color="0.3", linestyle="--", linewidth=1)
    words = f"{whole} px: even a corner unit sees all"
    right.annotate(words, (-0.4, whole), xytext=(0, 3), textcoords="offset points", fontsize=8)
    right.set(xlabel="block, from the stem on", ylabel="receptive field in pixels", xticks=[])
    right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.93))
    return fig
