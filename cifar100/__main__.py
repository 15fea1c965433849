"""python -m cifar100: train, evaluate and report from the command line."""

import argparse
import sys

from cifar100.errors import UserError
from cifar100.recipe import RECIPES, find_recipe


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cifar100")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train")
    train.add_argument("recipe")
    train.add_argument("--data")
    train.add_argument("--output", default="output")
    train.add_argument("--epochs", type=float)
    train.add_argument("--batch-size", type=int)
    train.add_argument("--lr", type=float)
    train.add_argument("--weight-decay", type=float)
    train.add_argument("--seed", type=int)
    train.add_argument("--num-workers", type=int, default=0)
    train.add_argument("--device")
    train.add_argument("--resume", action="store_true")
    train.add_argument("--holdout", action="store_true")
    options = parser.parse_args(arguments)
    from cifar100.progress import Progress, format_record
    from cifar100.train import fit

    names = ("epochs", "batch_size", "lr", "weight_decay", "seed")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    recipe = find_recipe(options.recipe, **changes)
    import math
    for record in fit(recipe, data=options.data, output=options.output, device=options.device, num_workers=options.num_workers, resume=options.resume, holdout=options.holdout, progress=Progress(recipe)):
        print(format_record(record, math.ceil(recipe.epochs)), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
