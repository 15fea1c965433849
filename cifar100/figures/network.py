"""Figures of a network: its stages, and how far a unit of each block sees."""

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

from cifar100.explain.receptive_field import Block
from cifar100.figures.style import Picture, make_figure

INPUT = 32  # pixels


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
    title = f"{name}: as the map shrinks, the channels grow ({parameters:,} parameters)"
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
    title = f"{name}: a unit of the last stage can depend on {widest} x {widest} pixels"
    if first:  # a unit at one edge then sees the other edge
        title = f"{name}: from {first.name} on, every unit can see the whole picture"
    fig, (left, right) = make_figure(9, 3.8, title, 1, 2, width_ratios=(1, 1.6))
    left.imshow(picture, extent=(0, INPUT, INPUT, 0), interpolation="nearest")
    for number, members in enumerate(stages.values()):
        field, colour = members[-1].receptive_field, stage_colour(number, len(stages))
        corner = INPUT / 2 - field / 2
        left.add_patch(Rectangle((corner, corner), field, field, fill=False, edgecolor=colour, linewidth=2))
    margin = min(widest, 4 * INPUT) / 2 + 2
    left.set(xlim=(INPUT / 2 - margin, INPUT / 2 + margin), ylim=(INPUT / 2 + margin, INPUT / 2 - margin))
    left.set_axis_off()
    left.set_title("one unit's field, stage by stage", fontsize=9)

    start = 0
    for number, (stage, members) in enumerate(stages.items()):
        places = np.arange(start, start + len(members))
        fields = [block.receptive_field for block in members]
        right.bar(places, fields, width=0.8, color=stage_colour(number, len(stages)), label=f"{stage}: {fields[-1]} px")
        start += len(members)
    right.axhline(INPUT, color="0.3", linestyle="--", linewidth=1)
    right.annotate("the picture's 32 px", (0, INPUT), xytext=(0, 3), textcoords="offset points", fontsize=8)
    right.set(xlabel="block, from the stem on", ylabel="receptive field in pixels", xticks=[])
    right.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.93))
    return fig
