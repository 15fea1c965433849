"""Execute notebooks from top to bottom.

Example: python -m cifar100 notebook CIFAR100_ResNet.ipynb --to output/sample
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cifar100.commands.options import add_data


def add_options(command: ArgumentParser) -> None:
    command.add_argument("paths", metavar="NOTEBOOK", nargs="+", type=Path)
    command.add_argument("--to", metavar="FOLDER", type=Path, help="write them there (default: where they are)")
    add_data(command)


def run(options: Namespace) -> None:
    from cifar100.notebook.execution import execute_notebook

    environment = {"CIFAR100_DATA": options.data} if options.data else {}
    for path in options.paths:
        target = path if options.to is None else options.to / path.name
        execute_notebook(path, target, environment)
        print(f"\nThe executed notebook: {target}")
