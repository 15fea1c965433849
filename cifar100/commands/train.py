"""Train a recipe to its end.

Example: python -m cifar100 train smoke --data sample --epochs 2
"""

import os
import sys
from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_compile, add_data, add_device, add_output, add_precision, add_workers
from cifar100.recipe import CHANGEABLE
from cifar100.recipes import RECIPES, find_recipe
from cifar100.stopping import STOPPED

OF_FIT = ("data", "output", "device", "num_workers", "compile", "precision", "resume", "holdout")


def add_options(command: ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE", help=", ".join(RECIPES))
    seeds = command.add_mutually_exclusive_group()
    seeds.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="one run for each of these seeds")
    seeds.add_argument("--seed", type=int, help="instead of the recipe's")
    for field, kind in {"epochs": float, "batch_size": int, "lr": float, "weight_decay": float}.items():
        command.add_argument(f"--{field.replace('_', '-')}", type=kind, help="instead of the recipe's")
    command.add_argument("--resume", action="store_true", help="continue a run that was cut off; keep a finished one")
    text = "train on nine tenths of the training set and evaluate on the rest"
    command.add_argument("--holdout", action="store_true", help=text)
    for add in (add_data, add_output, add_device, add_workers, add_compile, add_precision):
        add(command)


def run(options: Namespace) -> None:
    changes = {field: getattr(options, field) for field in CHANGEABLE if getattr(options, field) is not None}
    seeds = [{"seed": seed} for seed in dict.fromkeys(options.seeds)] if options.seeds else [{}]
    recipes = [find_recipe(options.recipe, **changes | seed) for seed in seeds]
    if "WORLD_SIZE" in os.environ:  # torch, when it is imported, reads how much to say of connections that break
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from tqdm import tqdm

    from cifar100.parallel import joined
    from cifar100.runs.history import format_record
    from cifar100.train import fit

    def show(batches, epoch: int, steps: int):
        return tqdm(batches, f"Epoch {epoch}", steps, leave=False, unit="batch", disable=None)  # on a terminal only

    rank = int(os.environ.get("RANK", "0"))
    try:
        with joined() as group:
            for recipe in recipes:
                chosen = {name: getattr(options, name) for name in OF_FIT}
                for record in fit(recipe, **chosen, group=group, progress=show if rank == 0 else None):
                    if rank == 0:
                        print(format_record(record, recipe.epochs), flush=True)
    except KeyboardInterrupt:
        if rank == 0:
            print("\nStopped. Finished epochs are kept, if there are any: continue with --resume.")
        sys.exit(STOPPED)
