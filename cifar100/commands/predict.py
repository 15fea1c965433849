"""Name what is in images.

Example: python -m cifar100 predict output/sprint my_image.jpg --confidence 0.9
"""

import glob
import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from cifar100.commands.options import add_device
from cifar100.errors import UserError, printable


def add_options(command: ArgumentParser) -> None:
    command.add_argument("model", metavar="RUN", help="a run's folder, a recipe's, or a file of weights")
    command.add_argument("images", metavar="IMAGE", nargs="+", help="JPEG, PNG, WebP, GIF or BMP files")
    command.add_argument("--top", type=int, default=5, metavar="K", help="classes for each image (default: 5)")
    text = "instead of K classes the fewest that hold the true one this often, such as 0.9"
    command.add_argument("--confidence", type=float, metavar="SHARE", help=text)
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_device(command)


def run(options: Namespace) -> None:
    from cifar100.inference import load_predictor
    from cifar100.inference.predictor import check_top

    check_top(options.top)
    predictor, by_set = load_predictor(options.model, options.device), options.confidence is not None
    if by_set and predictor.answering is None:
        raise UserError(
            f"{options.model} has not been evaluated, so it has no sets: run `python -m cifar100 evaluate RUN --write`."
        )
    images = list_images(options.images)
    answers = dict(zip(images, predictor.answer_batch(images, options.confidence if by_set else 0.9)))
    named = {path: own.ranking[: own.enough if by_set else options.top] for path, own in answers.items()}
    if options.json:
        content = {
            path: {"doubt": own.doubt, "classes": [prediction._asdict() for prediction in named[path]]}
            for path, own in answers.items()
        }
        print(json.dumps(content, indent=2))
        return
    for path, own in answers.items():
        print(printable(path) + (f": {own.doubt}" if own.doubt else ""))
        for prediction in named[path]:
            print(f"    {prediction.probability:7.2%}  {prediction.class_name.replace('_', ' ')}")


def list_images(names: list[str]) -> list[str]:
    """The files that are named, and those that a pattern such as *.jpg stands for, which Windows leaves to programs.
    Raises UserError if there is no such file."""
    found = []
    for name in names:
        matches = [name] if Path(name).exists() else sorted(glob.glob(name))
        if not matches:
            raise UserError(f"There is no file {name}: name an image, or a pattern such as *.jpg.")
        found += matches
    return found
