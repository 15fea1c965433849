"""Train recipes to the end.

Example: python -m cifar100 train smoke --data sample --epochs 2
"""

import os
import sys
from argparse import ArgumentParser, Namespace

from cifar100.commands.options import BACKENDS, add_data, add_device, add_output, add_precision, add_workers
from cifar100.errors import UserError
from cifar100.recipe import CHANGEABLE, Recipe
from cifar100.recipes import RECIPES, find_recipe
from cifar100.stopping import listen

PUBLISHED = [name for name in RECIPES if name != "smoke"]  # which is for tests
OF_FIT = ("data", "output", "device", "num_workers", "compile", "precision", "resume", "holdout")


def add_options(command: ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE", nargs="?", help=", ".join(RECIPES))
    command.add_argument("--all", action="store_true", help="all recipes that have no finished run yet")
    several = command.add_mutually_exclusive_group()
    several.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="one run for each of these seeds")
    command.add_argument("--skip-finished", action="store_true", help="leave finished runs alone, resume the others")
    command.add_argument("--minutes", type=float, help="stop before so many minutes are over")
    several.add_argument("--seed", type=int, help="instead of the recipe's")
    for field, kind in {"epochs": float, "batch_size": int, "lr": float, "weight_decay": float}.items():
        command.add_argument(f"--{field.replace('_', '-')}", type=kind, help="instead of the recipe's")
    command.add_argument("--resume", action="store_true", help="continue a run that was cut off")
    text = "train on nine tenths of the training set and evaluate on the rest"
    command.add_argument("--holdout", action="store_true", help=text)
    command.add_argument("--compile", default="auto", choices=BACKENDS, help="torch.compile's backend (default: auto)")
    for add in (add_data, add_output, add_device, add_workers, add_precision):
        add(command)


def run(options: Namespace) -> None:
    if bool(options.recipe) == options.all:
        raise UserError("Name one recipe, or say --all.")
    if "WORLD_SIZE" in os.environ:  # torch, when it is imported, reads how much to say of connections that break
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from cifar100.parallel.group import joined
    from cifar100.training.series import train_all

    listen()
    try:
        with joined() as group:
            train_all(
                group.each(lambda: choose_recipes(options)),
                minutes=options.minutes,
                skip_finished=options.all or options.skip_finished,
                say=group.say,
                group=group,
                **{name: getattr(options, name) for name in OF_FIT},
            )
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            print("\nStopped. Finished epochs are kept, if there are any: continue with --resume.")
        sys.exit(130)


def choose_recipes(options: Namespace) -> list[Recipe]:
    """All recipes with one seed, then with the next, or the one that was named. Raises UserError for what is not
    there."""
    changes = {field: getattr(options, field) for field in CHANGEABLE if getattr(options, field) is not None}
    names = PUBLISHED if options.all else [options.recipe]
    seeds = [{"seed": seed} for seed in dict.fromkeys(options.seeds)] if options.seeds else [{}]
    return [find_recipe(name, **changes | seed) for seed in seeds for name in names]
