"""python -m cifar100: parse the command and run it."""

import argparse
import errno
import os
import sys
import traceback

from cifar100.commands import COMMANDS
from cifar100.errors import UserError, brief
from cifar100.files import FULL
from cifar100.stopping import STOPPED, listen

SWITCH = "CIFAR100_TRACEBACK"  # 1 prints the traceback above the error message


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cifar100", description="Train and examine networks on CIFAR-100.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (run, options) in COMMANDS.items():
        text, example = " ".join(run.__doc__.split()).split(" Example: ")
        command = commands.add_parser(name, help=text, description=text, epilog=f"Example: {parser.prog} {example}")
        for add in options:
            add(command)
        command.set_defaults(run=run)
    return parser


def carry_out(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, 2 after an error message, or 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # the terminal may not have every letter of a file name
    os.environ.pop("MPLBACKEND", None)  # figures are written to files here, never shown
    try:
        try:
            options = parser.parse_args(arguments)
            options.run(options)
        finally:
            sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print("\nStopped. To continue a training run after its last finished epoch: train --resume.", file=sys.stderr)
        return STOPPED
    except Exception as error:
        if os.environ.get(SWITCH) == "1":
            traceback.print_exc()
        what = f"{type(error).__name__}: {brief(error).rstrip('.')}"
        sentence = f"This is an unexpected error ({what}): set {SWITCH}=1 and report the traceback."
        if isinstance(error, UserError):
            sentence = str(error)
        elif isinstance(error, OSError) and not error.filename and error.errno in (errno.EPIPE, errno.EIO, *FULL):
            # An error without a file name is about stdout. What is still buffered goes to the null device.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if error.errno == errno.EPIPE:  # the reader has ended, as `head` does
                return 2
            sentence = f"The output cannot be written ({error.strerror}): redirect it elsewhere."
        print(f"Error: {sentence}", file=sys.stderr)
        return 2


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    return carry_out(make_parser(), arguments)


if __name__ == "__main__":
    listen()
    sys.exit(main())
