"""Name what is in pictures.

Example: python -m cifar100 predict output/sprint my_picture.jpg --confidence 0.9
"""

import json
from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_device
from cifar100.errors import UserError, printable


def add_options(command: ArgumentParser) -> None:
    command.add_argument("model", metavar="RUN", help="a run's folder, a recipe's, or a file of weights")
    command.add_argument("pictures", metavar="IMAGE", nargs="+", help="JPEG, PNG, WebP, GIF or BMP files")
    command.add_argument("--top", type=int, default=5, metavar="K", help="answers for each picture (default: 5)")
    text = "name, of each, the fewest classes that hold the truth this often, such as 0.9, instead of the first K"
    command.add_argument("--confidence", type=float, metavar="SHARE", help=text)
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_device(command)


def run(options: Namespace) -> None:
    from cifar100.inference import load_predictor

    predictor = load_predictor(options.model, options.device)
    predictor.check_top(options.top)
    confidence = 0.9 if options.confidence is None else options.confidence
    answers = dict(zip(options.pictures, predictor.answer_batch(options.pictures, confidence)))
    if options.confidence is not None and predictor.answering is None:
        raise UserError(
            f"{options.model} has not been evaluated, so it has no sets: run `python -m cifar100 evaluate RUN --write`."
        )
    named = {
        path: answer.ranking[: options.top if options.confidence is None else answer.enough]
        for path, answer in answers.items()
    }
    if options.json:
        content = {
            path: {"familiar": answer.familiar, "classes": [prediction._asdict() for prediction in named[path]]}
            for path, answer in answers.items()
        }
        print(json.dumps(content, indent=2))
        return
    for path, answer in answers.items():
        print(printable(path) + (": looks like none of the classes" if answer.familiar is False else ""))
        for prediction in named[path]:
            print(f"    {prediction.probability:7.2%}  {prediction.class_name.replace('_', ' ')}")
