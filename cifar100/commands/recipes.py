"""List the recipes and what they have reached.

Example: python -m cifar100 recipes
"""

from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_output
from cifar100.recipes import RECIPES
from cifar100.report.pages import format_spread, published_metrics


def add_options(command: ArgumentParser) -> None:
    add_output(command)


def run(options: Namespace) -> None:
    published = published_metrics(options.output)
    print(f"{'recipe':24}{'network':10}{'epochs':>7}{'batch':>7}  final test accuracy")
    for name, recipe in RECIPES.items():
        reached = [metrics["final"]["test_accuracy"] for metrics in published.get(name, ())]
        result = format_spread(reached) if reached else "no finished run here"
        print(f"{name:24}{recipe.network:10}{recipe.epochs:7g}{recipe.batch_size:7}  {result}")
