"""List the recipes and what they have reached.

Example: python -m cifar100 recipes
"""

from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_output
from cifar100.recipes import RECIPES


def add_options(command: ArgumentParser) -> None:
    add_output(command)


def run(options: Namespace) -> None:
    from cifar100.report.published import group_by_recipe, load_published
    from cifar100.report.readme import format_accuracy

    groups = group_by_recipe(load_published(options.output))
    print(f"{'recipe':28}{'network':10}{'epochs':>7}{'batch':>7}  final test accuracy")
    for name, recipe in RECIPES.items():
        result = format_accuracy(groups[name]) if name in groups else "no finished run here"
        print(f"{name:28}{recipe.network:10}{recipe.epochs:7g}{recipe.batch_size:7}  {result}")
