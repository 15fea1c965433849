"""Find a learning rate for a recipe by a range test.

Example: python -m cifar100 find-lr resnet56_multistep
"""

from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_data, add_device, add_output
from cifar100.recipes import RECIPES, find_recipe


def add_options(command: ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE", help=", ".join(RECIPES))
    command.add_argument("--start-lr", type=float, default=1e-4, help="first rate (default: 0.0001)")
    command.add_argument("--end-lr", type=float, default=10.0, help="last rate (default: 10)")
    command.add_argument("--steps", type=int, default=200, help="number of steps (default: 200)")
    for add in (add_data, add_output, add_device):
        add(command)


def run(options: Namespace) -> None:
    from cifar100.figures import plot_lr_curve, save_figure
    from cifar100.lr_finder import find_recipe_lr

    recipe, rates = find_recipe(options.recipe), (options.start_lr, options.end_lr, options.steps)
    curve, path = find_recipe_lr(recipe, options.data, options.output, options.device, *rates)
    figure = path.with_suffix(".png")
    save_figure(plot_lr_curve(curve, recipe.lr, recipe.name), figure)
    print(f"{recipe.name}: {curve.suggestion:.3g}, by {curve.method}. {curve.reason} The recipe uses {recipe.lr:g}.")
    print(f"Curve and figure: {path}, {figure}")
