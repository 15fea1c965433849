"""`python -m cifar100 bench`: what each kind of measurement needs, shows, and leaves for the pages to render."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ablation import format_ablation, render_ablation, run_ablation
from benchmarks.growth import describe_growth, measure_growth, render_growth
from benchmarks.layers import format_layers, render_layers, run_layers
from benchmarks.peers import format_peers, measure_peers, render_peers
from benchmarks.serving import describe_serving, format_serving, measure_serving
from cifar100.errors import UserError
from cifar100.figures import plot_growth, save_figure
from cifar100.files import write_text
from cifar100.recipes import find_recipe
from cifar100.training.speed import Bench, format_bench, run_bench

Say = Callable[[str], None]
# The options that not every kind has a use for, with their defaults.
NEUTRAL = {"what": None, "data": None, "num_workers": None, "compile": "auto", "precision": "auto"}


@dataclass(frozen=True)
class Kind:
    """A measurement. Its figures are a dict that JSON can keep."""

    measure: Callable[[argparse.Namespace, Say], dict]
    takes: tuple[str, ...]  # of NEUTRAL, what it can be told
    show: Callable[[dict], str]  # for the screen
    render: Callable[[dict], str] | None = None  # in Markdown; None for what is not kept


def measure_parts(options: argparse.Namespace, say: Say) -> dict:
    refuse_capture(options)
    speed = (options.device, options.num_workers, options.compile, options.precision)
    return run_bench(find_recipe(require(options)), *speed).to_dict()


def compare_peers(options: argparse.Namespace, say: Say) -> dict:
    refuse_capture(options)
    return measure_peers(options.device, options.compile, options.precision, say=say)


def follow_growth(options: argparse.Namespace, say: Say) -> dict:
    speed = (options.device, options.num_workers, options.compile, options.precision)
    return measure_growth(find_recipe(options.what or "smoke"), *speed, say=say)


def measure_layers(options: argparse.Namespace, say: Say) -> dict:
    return run_layers(find_recipe(require(options)), options.device, options.precision)


def take_away(options: argparse.Namespace, say: Say) -> dict:
    return run_ablation(find_recipe(require(options)), options.device, say)


def serve(options: argparse.Namespace, say: Say) -> dict:
    return measure_serving(require(options, "run"), options.data, device=options.device).to_dict()


def refuse_capture(options: argparse.Namespace) -> None:
    """For steps that are timed without a trainer's loop, which is what records them."""
    if options.compile == "capture":
        raise UserError("The step that is measured here cannot be recorded as a graph: choose another --compile.")


def require(options: argparse.Namespace, what: str = "recipe") -> str:
    if not options.what:
        raise UserError(
            f"Name a {what}, as in `python -m cifar100 bench {'output/sprint --serving' if what == 'run' else 'smoke'}`."
        )
    return options.what


STEP = ("what", "num_workers", "compile", "precision")
KINDS = {
    "parts": Kind(measure_parts, STEP, lambda figures: format_bench(Bench(**figures))),
    "peers": Kind(compare_peers, ("compile", "precision"), format_peers, render_peers),
    "growth": Kind(follow_growth, STEP, describe_growth, render_growth),
    "layers": Kind(measure_layers, ("what", "precision"), format_layers, render_layers),
    "ablation": Kind(take_away, ("what",), format_ablation, render_ablation),
    "serving": Kind(serve, ("what", "data"), format_serving, describe_serving),
}


def check_options(name: str, options: argparse.Namespace) -> None:
    """Raises UserError for an option that this kind of measurement would not heed."""
    kind, title = KINDS[name], "bench" if name == "parts" else f"bench --{name}"
    for option, neutral in NEUTRAL.items():
        if option not in kind.takes and getattr(options, option) != neutral:
            shown = "RECIPE" if option == "what" else f"--{option.replace('_', '-')}"
            raise UserError(f"{title} does not use {shown}: leave it away.")
    if options.write and kind.render is None:
        raise UserError("--write is for the measurements that the pages show, such as --peers: leave it away.")


def run(name: str, options: argparse.Namespace, say: Say) -> None:
    """Measure, show, and keep as OUTPUT/bench/<name>.json where that is asked for."""
    check_options(name, options)
    kind = KINDS[name]
    figures = kind.measure(options, say)
    print(json.dumps(figures, indent=2) if options.json else kind.show(figures))
    if options.write:
        path = Path(options.output) / "bench" / f"{name}.json"
        if name == "growth":
            save_figure(plot_growth(figures, describe_growth(figures)), path.with_suffix(".png"))
        write_text(path, json.dumps(figures, indent=2) + "\n")
        say(f"Written: {path}. `python -m cifar100 report` puts it into the pages.")
