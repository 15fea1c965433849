"""Measure a recipe's speed on this machine.

Example: python -m cifar100 bench smoke
"""

import json
from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_compile, add_device, add_precision, add_workers
from cifar100.recipes import RECIPES, find_recipe


def add_options(command: ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE", help=", ".join(RECIPES))
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    for add in (add_device, add_workers, add_compile, add_precision):
        add(command)


def run(options: Namespace) -> None:
    from cifar100.training.speed import format_bench, run_bench

    speed = (options.device, options.num_workers, options.compile, options.precision)
    bench = run_bench(find_recipe(options.recipe), *speed)
    print(json.dumps(bench.to_dict(), indent=2) if options.json else format_bench(bench))
