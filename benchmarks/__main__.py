"""python -m benchmarks: measures, shows, and keeps what the pages show."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ablation import format_ablation, render_ablation, run_ablation
from benchmarks.layers import format_layers, render_layers, run_layers
from benchmarks.peers import format_peers, measure_peers, render_peers
from benchmarks.serving import describe_serving, format_serving, measure_serving
from benchmarks.tries import format_tries, measure_tries, render_tries
from benchmarks.unseen import format_unseen, measure_unseen, render_unseen
from cifar100.__main__ import carry_out
from cifar100.commands import options as shared
from cifar100.files import write_text
from cifar100.recipes import find_recipe
from cifar100.stopping import listen


@dataclass(frozen=True)
class Kind:
    """A measurement. Its figures are a dict that JSON can keep."""

    text: str
    takes: tuple[Callable[[argparse.ArgumentParser], None], ...]  # its own options
    measure: Callable[[argparse.Namespace], dict]
    show: Callable[[dict], str]  # for the screen
    render: Callable[[dict], str]  # in Markdown


def add_recipe(command: argparse.ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE")


def say(text: str) -> None:
    """To the screen, past whatever reads the output."""
    print(text, file=sys.stderr, flush=True)


KINDS = {
    "peers": Kind(
        "Measure two networks beside the plain public way of writing them: some minutes.",
        (shared.add_compile, shared.add_precision),
        lambda o: measure_peers(o.device, o.compile, o.precision, say=say),
        format_peers,
        render_peers,
    ),
    "layers": Kind(
        "Measure each layer's multiply-adds and time.",
        (add_recipe, shared.add_precision),
        lambda o: run_layers(find_recipe(o.recipe), o.device, o.precision),
        format_layers,
        render_layers,
    ),
    "ablation": Kind(
        "Measure the training step with one measure for speed taken away, or one more tried: some minutes.",
        (add_recipe,),
        lambda o: run_ablation(find_recipe(o.recipe), o.device, say),
        format_ablation,
        render_ablation,
    ),
    "serving": Kind(
        "Measure a run's page with eight visitors at once, and its accuracy from picture files: some minutes.",
        (shared.add_run, shared.add_data),
        lambda o: measure_serving(o.folder, o.data, device=o.device).to_dict(),
        format_serving,
        describe_serving,
    ),
    "tries": Kind(
        "Train what was tried for resnet56_fast, on the hold-out: hours without a GPU; what is finished is kept.",
        (shared.add_data,),
        lambda o: measure_tries(o.output, o.data, o.device, say),
        format_tries,
        render_tries,
    ),
    "unseen": Kind(
        "Train a recipe without two superclasses, and measure how well it tells their pictures: as long as a run.",
        (add_recipe, shared.add_data),
        lambda o: measure_unseen(find_recipe(o.recipe), o.data, o.device, say),
        format_unseen,
        render_unseen,
    ),
}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(": ")[2])
    commands = parser.add_subparsers(dest="name", required=True, metavar="MEASUREMENT")
    for name, kind in KINDS.items():
        command = commands.add_parser(name, help=kind.text, description=kind.text)
        for add in (*kind.takes, shared.add_device, shared.add_output):
            add(command)
        command.add_argument("--json", action="store_true", help="print JSON instead of a table")
        command.add_argument("--write", action="store_true", help="keep the figures in OUTPUT/bench, for the pages")
        command.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure, show, and keep as OUTPUT/bench/<name>.json and, rendered, <name>.md where that is asked for."""
    listen()
    kind = KINDS[options.name]
    figures = kind.measure(options)
    print(json.dumps(figures, indent=2) if options.json else kind.show(figures))
    if options.write:
        path = Path(options.output) / "bench" / f"{options.name}.json"
        write_text(path, json.dumps(figures, indent=2) + "\n")
        write_text(path.with_suffix(".md"), kind.render(figures))
        say(f"Written: {path} and .md. `python -m cifar100 report` puts it into the pages.")


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    return carry_out(make_parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
