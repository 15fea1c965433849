"""Say what a training run would use on this machine: the table that a report of a problem should hold.

Example: python -m cifar100 check
"""

from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_data, add_device, add_output
from cifar100.errors import UserError


def add_options(command: ArgumentParser) -> None:
    for add in (add_data, add_output, add_device):
        add(command)


def run(options: Namespace) -> None:
    from cifar100.check import check

    failed = []
    for what, works, text in check(options.device, options.data, options.output):
        print(f"{what:16}{'yes' if works else 'NO':5}{text}", flush=True)
        failed += [] if works else [what]
    if failed:
        raise UserError(f"Not everything will do here ({', '.join(failed)}): put this table into your report of it.")
