"""Write a network as an ONNX file.

Example: python -m cifar100 export-onnx output/sprint
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cifar100.commands.options import add_run
from cifar100.runs.find import find_run


def add_options(command: ArgumentParser) -> None:
    add_run(command)
    command.add_argument("--to", metavar="FILE", type=Path, help="instead of network.onnx in the recipe's folder")


def run(options: Namespace) -> None:
    from cifar100.inference.onnx_export import export_onnx

    folder = find_run(options.folder)
    path = folder.parent / "network.onnx" if options.to is None else options.to
    export_onnx(folder, path)
    print(f"Written: {path}, {path.stat().st_size / 1e6:.1f} MB")
