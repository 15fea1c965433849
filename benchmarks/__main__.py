"""python -m benchmarks: compare the speed of two networks with a baseline. Takes some minutes."""

import argparse
import sys

from benchmarks.peers import format_table, measure_peers
from cifar100.__main__ import carry_out
from cifar100.commands import COMPILE, DEVICE, PRECISION


def run(options: argparse.Namespace) -> None:
    print(format_table(measure_peers(options.device, options.compile, options.precision)))


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(": ")[2])
    parser.add_argument("name", choices=["peers"], help="the comparison")
    for add in (DEVICE, COMPILE, PRECISION):
        add(parser)
    parser.set_defaults(run=run)
    return carry_out(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
