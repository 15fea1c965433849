"""python -m cifar100: finds the command and runs it."""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module

from cifar100.commands import NAMES
from cifar100.errors import UserError, brief
from cifar100.files import FULL
from cifar100.stopping import STOPPED, listen

SWITCH = "CIFAR100_TRACEBACK"  # 1 shows an error's traceback above its sentence


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
    return carry_out(make_parser, arguments)


def carry_out(make: Callable[[], argparse.ArgumentParser], arguments: list[str] | None) -> int:
    """Run the command that the parser finds. Returns the exit code: 0, 2 after one sentence, or 130 where it was
    stopped."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a name may have letters that this screen has not
    os.environ.pop("MPLBACKEND", None)  # figures become files here, whatever shows them elsewhere
    try:
        try:
            options = make().parse_args(arguments)
            options.run(options)
        finally:
            sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return STOPPED
    except Exception as error:
        if os.environ.get(SWITCH) == "1":
            traceback.print_exc()
        sentence = str(error)
        if isinstance(error, OSError) and not error.filename and error.errno in (errno.EPIPE, errno.EIO, *FULL):
            # It is the output, to which a name is not given. Nowhere takes what is left of it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            gone = error.errno == errno.EPIPE  # the reader, as `head` does
            sentence = "" if gone else f"The output cannot be written ({error.strerror}): send it elsewhere."
        elif not isinstance(error, UserError):
            what = f"{type(error).__name__}: {brief(error).rstrip('.')}"
            sentence = f"Nothing here expected this ({what}): set {SWITCH}=1 and report what it says."
        if sentence:
            print(f"Error: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    listen()
    sys.exit(main())
