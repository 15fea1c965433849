"""python -m cifar100: finds the command and runs it."""

import argparse
import os
import sys
from importlib import import_module

from cifar100.commands import NAMES
from cifar100.errors import UserError


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cifar100", description="Train and examine networks on CIFAR-100.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in NAMES:
        module = import_module(f"cifar100.commands.{name.replace('-', '_')}")
        text, example = module.__doc__.strip().split("\n\n")
        command = commands.add_parser(name, help=text, description=text, epilog=example)
        module.add_options(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    return carry_out(make_parser().parse_args(arguments))


def carry_out(options: argparse.Namespace) -> int:
    """Run a command. Returns the exit code: 0, or 2 after a message that says what to do."""
    try:
        options.run(options)
        return 0
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 2


if __name__ == "__main__":
    sys.exit(main())
