"""Name what is in pictures.

Example: python -m cifar100 predict output/sprint my_picture.jpg
"""

import json
from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_device
from cifar100.errors import printable


def add_options(command: ArgumentParser) -> None:
    command.add_argument("model", metavar="RUN", help="a run's folder, a recipe's, or a file of weights")
    command.add_argument("pictures", metavar="IMAGE", nargs="+", help="JPEG, PNG, WebP, GIF or BMP files")
    command.add_argument("--top", type=int, default=5, metavar="K", help="answers for each picture (default: 5)")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_device(command)


def run(options: Namespace) -> None:
    from cifar100.inference import load_predictor

    predictor = load_predictor(options.model, options.device)
    answers = dict(zip(options.pictures, predictor.predict_batch(options.pictures, top_k=options.top)))
    if options.json:
        print(json.dumps({path: [answer._asdict() for answer in own] for path, own in answers.items()}, indent=2))
        return
    for path, own in answers.items():
        print(printable(path))
        for answer in own:
            print(f"    {answer.probability:7.2%}  {answer.class_name.replace('_', ' ')}")
