"""Check what works on this machine, and say what will be used: the table that a report of a problem should hold.

Example: python -m cifar100 check
"""

import time
from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_data, add_device, add_output
from cifar100.errors import UserError


def add_options(command: ArgumentParser) -> None:
    for add in (add_data, add_output, add_device):
        add(command)


def run(options: Namespace) -> None:
    start = time.perf_counter()
    from cifar100.training.check import check

    failed = []
    for finding in check(options.device, options.data, options.output):
        print(finding, flush=True)
        failed += [finding.what] if finding.works is False else []
    if failed:
        raise UserError(f"Not everything works here ({', '.join(failed)}): put this table into your report of it.")
    print(f"All of this works; it took {time.perf_counter() - start:.0f} s.")
