"""Measure our training step, evaluation and pipeline side by side with the plain public way of writing them.

The plain side has the memory settings of any program. The floor is the speed of a matrix product on the same machine
in the same minutes, in the precision of the side that is measured by it.
"""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks import ours, plain
from benchmarks.ours import MATRIX
from benchmarks.processes import Sides, median
from cifar100.dataset.loader import count_cores
from cifar100.device import choose_device, choose_precision, describe_machine, name_precision
from cifar100.explain.receptive_field import count_multiply_adds
from cifar100.recipe import Recipe
from cifar100.recipes import RECIPES
from cifar100.runs.weights import make_network

COMPARED = ("resnet56_multistep", "resnet18_warmup_cosine")
PIPELINE = "resnet18_warmup_cosine"  # crop, flip and cutout
EVALUATION_BATCH = 500
SIDES = ("plain", "plain, workers", "ours", "ours, float32")


def measure_peers(
    device: str | None = None,
    compile: str = "auto",
    precision: str = "auto",
    rounds: int = 5,
    seconds: float = 1.5,
    say: Callable[[str], None] = print,
) -> dict:
    """All figures, as JSON holds them: images/s, the floor in GFLOP/s. Every side has `rounds` turns of about
    `seconds`. Raises UserError for a device or a precision that is not there."""
    chosen = choose_device(device)
    precision = name_precision(choose_precision(chosen, precision))
    with Sides(SIDES, chosen, rounds, seconds) as sides:
        say(f"The floor, from products of {MATRIX}x{MATRIX} matrices ...")
        floor = {
            kind: median(sides.alternate({"ours": (ours.matrix_products, MATRIX, kind, chosen)}))["ours"]
            for kind in dict.fromkeys(("float32", precision))
        }
        networks = {}
        for recipe in (RECIPES[name] for name in COMPARED):
            say(f"{recipe.network}, training step and evaluation ...")
            networks[recipe.network] = compare_network(sides, recipe, compile, precision, floor)
        say("The pipeline ...")
        pipeline = compare_pipeline(sides, RECIPES[PIPELINE])
    return {
        **describe_machine(chosen),
        "precision": precision,
        "rounds": rounds,
        "seconds_a_turn": seconds,
        "floor_gflop_per_second": floor,
        "networks": networks,
        "pipeline": pipeline,
    }


def compare_network(sides: Sides, recipe: Recipe, compile: str, precision: str, floor: dict[str, float]) -> dict:
    """The training step and the evaluation of a recipe's network."""
    network = make_network(recipe)
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == sum(p.numel() for p in plain.NETWORKS[recipe.network]().parameters())
    steps = {
        "plain": (plain.training_steps, recipe, sides.device),
        "ours": (ours.training_steps, recipe, sides.device, compile, precision),
        "ours, float32": (ours.training_steps, recipe, sides.device, compile, "float32"),
    }
    if precision == "float32":
        del steps["ours, float32"]
    evaluation = {
        "plain": (plain.evaluations, recipe, sides.device, EVALUATION_BATCH),
        "ours": (ours.evaluations, recipe, sides.device, EVALUATION_BATCH),
    }
    forward = 2 * count_multiply_adds(network) / 1e9  # GFLOP an image; the backward pass takes two for one
    exact = dict.fromkeys(SIDES, floor["float32"])
    return {
        "recipe": recipe.name,
        "batch_size": recipe.batch_size,
        "parameters": parameters,
        "gflop_per_image": forward,
        "training_step": summarise(sides.alternate(steps), 3 * forward, exact | {"ours": floor[precision]}),
        "evaluation": summarise(sides.alternate(evaluation), forward, exact),
    }


def compare_pipeline(sides: Sides, recipe: Recipe) -> dict:
    """Augmented batches: made whole, against a DataLoader without workers and with one a core."""
    cores = count_cores()
    works = {
        "plain, workers": (plain.augmented_batches, recipe, sides.device, cores),
        "plain": (plain.augmented_batches, recipe, sides.device, 0),
        "ours": (ours.augmented_batches, recipe, sides.device),
    }
    named = {"recipe": recipe.name, "batch_size": recipe.batch_size, "num_workers": cores}
    return named | summarise(sides.alternate(works))


def summarise(turns: dict[str, list[float]], gflop: float = 0.0, floor: dict[str, float] | None = None) -> dict:
    """The medians; how many times the better plain one ours are; the shares of the floor, if there is one.
    gflop: of an image; floor: side -> GFLOP/s."""
    medians = median(turns)
    best = max(rate for side, rate in medians.items() if side.startswith("plain"))
    figures = {
        "images_per_second": medians,
        "ratio": {side: rate / best for side, rate in medians.items() if side.startswith("ours")},
        "turns": turns,
    }
    if floor:
        figures["share_of_floor"] = {side: gflop * rate / floor[side] for side, rate in medians.items()}
    return figures


class Row(NamedTuple):
    """A line of the tables. Rates in images/s; shares of the floor are 0..1, or None for what multiplies nothing."""

    part: str
    plain: float
    ours: float
    ratio: float
    plain_share: float | None
    our_share: float | None


def list_rows(figures: dict) -> list[Row]:
    """The lines of both tables, from what `measure_peers` returns."""
    rows = []

    def add(part: str, measured: dict, side: str) -> None:
        rates, shares = measured["images_per_second"], measured.get("share_of_floor", {})
        plain = max((s for s in rates if s.startswith("plain")), key=rates.get)
        rows.append(Row(part, rates[plain], rates[side], measured["ratio"][side], shares.get(plain), shares.get(side)))

    for name, network in figures["networks"].items():
        for side in network["training_step"]["ratio"]:
            precision = figures["precision"] if side == "ours" else "float32"
            add(f"{name}, training step, {precision}", network["training_step"], side)
        add(f"{name}, evaluation, float32", network["evaluation"], "ours")
    add("augmentation", figures["pipeline"], "ours")
    return rows


def format_rate(rate: float) -> str:
    """Three digits that count."""
    return f"{float(f'{rate:.3g}'):,.0f}" if rate >= 100 else f"{rate:.3g}"


def format_share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def describe_floor(figures: dict) -> str:
    floor = figures["floor_gflop_per_second"]
    return ", ".join(f"{format_rate(speed)} GFLOP/s in {precision}" for precision, speed in floor.items())


def format_peers(figures: dict) -> str:
    """A table for the screen."""
    lines = [
        f"{figures['hardware']}, torch {figures['torch']}; medians of {figures['rounds']} turns",
        f"The floor, a product of {MATRIX}x{MATRIX} matrices: {describe_floor(figures)}",
        f"{'images/s':36}{'plain':>10}{'ours':>10}{'ratio':>8}{'plain, of floor':>18}{'ours':>8}",
    ]
    for row in list_rows(figures):
        shares = f"{format_share(row.plain_share):>18}{format_share(row.our_share):>8}"
        lines.append(
            f"{row.part:36}{format_rate(row.plain):>10}{format_rate(row.ours):>10}{row.ratio:8.2f}{shares}".rstrip()
        )
    return "\n".join(lines)


def render_peers(figures: dict) -> str:
    """A table in Markdown, with the conditions below it."""
    lines = [
        "| | plain, images/s | ours, images/s | ratio | plain, share of the floor | ours, share of the floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in list_rows(figures):
        cells = (format_rate(row.plain), format_rate(row.ours), f"**{row.ratio:.1f}**")
        cells += (format_share(row.plain_share) or "-", format_share(row.our_share) or "-")
        lines.append(f"| {row.part} | {' | '.join(cells)} |")
    conditions = (
        f"On {figures['hardware']}, PyTorch {figures['torch']}, medians of {figures['rounds']} turns; the floor, a "
        f"product of {MATRIX}x{MATRIX} matrices: {describe_floor(figures)}."
    )
    return "\n".join((*lines, "", conditions, ""))
