"""Options that several commands share."""

from argparse import ArgumentParser

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def add_run(command: ArgumentParser, name: str = "folder") -> None:
    command.add_argument(name, metavar="RUN", help="a run's folder, or a recipe's")


def add_data(command: ArgumentParser) -> None:
    command.add_argument("--data", metavar="FOLDER", help="where CIFAR-100 lies, or sample for the embedded sample")


def add_output(command: ArgumentParser) -> None:
    command.add_argument("--output", default="output", metavar="FOLDER", help="where runs are kept (default: output)")


def add_device(command: ArgumentParser) -> None:
    command.add_argument("--device", help="cpu, cuda, cuda:1 or mps (default: the best there is)")


def add_workers(command: ArgumentParser) -> None:
    command.add_argument("--num-workers", type=int, help="processes that prepare batches (default: as fits the device)")


def add_compile(command: ArgumentParser) -> None:
    text = "on a GPU, compute the training step plainly"
    command.add_argument("--no-compile", dest="compile", action="store_false", help=text)


def add_precision(command: ArgumentParser) -> None:
    text = "of products in training (default: the fastest here)"
    command.add_argument("--precision", default="auto", choices=PRECISIONS, help=text)
