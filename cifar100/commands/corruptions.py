"""Measure how accuracy falls as the test pictures get worse.

Example: python -m cifar100 corruptions output/sprint --images 2000
"""

from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_data, add_device, add_run
from cifar100.runs.find import find_run


def add_options(command: ArgumentParser) -> None:
    add_run(command)
    command.add_argument("--images", type=int, default=10_000, help="test images, the first so many (default: all)")
    add_data(command)
    add_device(command)


def run(options: Namespace) -> None:
    from cifar100.evaluation.corruptions import SEVERITIES, measure_corruptions, table_file
    from cifar100.figures import plot_corruptions, save_figure

    folder = find_run(options.folder)
    table = measure_corruptions(folder, options.data, options.device, options.images)
    picture = table_file(folder).with_suffix(".png")
    save_figure(plot_corruptions(table.accuracies, table.clean), picture)
    print(f"{folder}: {table.images:,} images, accuracy {table.clean:.2%} as they are")
    print(f"{'severity':12}" + "".join(f"{severity:>8}" for severity in SEVERITIES))
    for name, values in table.accuracies.items():
        print(f"{name:12}" + "".join(f"{value:8.1%}" for value in values))
    print(f"Table and figure: {table_file(folder)}, {picture}")
