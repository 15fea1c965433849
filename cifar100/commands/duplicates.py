"""Find test images that nearly repeat a training image.

Example: python -m cifar100 duplicates output/sprint --to duplicates.csv
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cifar100.commands.options import add_data, add_device, add_run
from cifar100.files import check_writable
from cifar100.runs.find import find_run


def add_options(command: ArgumentParser) -> None:
    add_run(command)
    where = command.add_mutually_exclusive_group()
    where.add_argument("--to", metavar="FILE", type=Path, help="where to write the list (default: only count)")
    where.add_argument("--write", action="store_true", help="replace the project's own list, by which it evaluates")
    add_data(command)
    add_device(command)


def run(options: Namespace) -> None:
    from cifar100.evaluation.near_duplicates import COMMITTED, find_run_duplicates, save_pairs

    path = COMMITTED if options.write else options.to
    if path:
        check_writable(path)
    pairs = find_run_duplicates(find_run(options.folder), options.data, options.device)
    exact = sum(pair.kind == "exact" for pair in pairs)
    print(f"{len(pairs)} test images repeat a training image, {exact} of them exactly.")
    if path:
        save_pairs(pairs, path)
        print(f"Written: {path}")
