"""Measure a recipe's speed on this machine.

Example: python -m cifar100 bench smoke
"""

from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_compile, add_device, add_workers
from cifar100.recipes import RECIPES, find_recipe


def add_options(command: ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE", help=", ".join(RECIPES))
    for add in (add_device, add_workers, add_compile):
        add(command)


def run(options: Namespace) -> None:
    from cifar100.bench import run_bench

    print(run_bench(find_recipe(options.recipe), options.device, options.num_workers, options.compile))
