"""Measure how accuracy falls as the test images get worse, and on CIFAR-100-C where that lies in the data folder.

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
    from cifar100.dataset.cifar import find_folder
    from cifar100.evaluation.corruptions import OFFICIAL_FOLDER, measure_corruptions, table_file
    from cifar100.figures import plot_corruptions, save_figure
    from cifar100.runs.run import Run

    folder = find_run(options.folder)
    table = measure_corruptions(folder, options.data, options.device, options.images)
    figure = table_file(folder).with_suffix(".png")
    save_figure(plot_corruptions(table.accuracies, table.clean), figure)
    show(folder, table)
    print(f"Table and figure: {table_file(folder)}, {figure}")
    run, official = Run.load(folder), find_folder(options.data) / OFFICIAL_FOLDER
    if official.is_dir() and run.split == "test" and not run.sample:
        show(folder, measure_corruptions(folder, options.data, options.device, options.images, official))
        print(f"Read from {official}. Table: {table_file(folder, official=True)}")


def show(folder, table) -> None:
    """Print a table of `measure_corruptions`."""
    print(f"{folder}: accuracy {table.clean:.2%} on {table.images:,} images without corruption")
    print(f"{'severity':18}" + "".join(f"{severity:>8}" for severity in range(1, 6)))
    for name, values in table.accuracies.items():
        print(f"{name:18}" + "".join(f"{value:8.1%}" for value in values))
