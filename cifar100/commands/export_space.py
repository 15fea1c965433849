"""Write a run as a Hugging Face Space.

Example: python -m cifar100 export-space output/sprint space
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cifar100.commands.options import add_run


def add_options(command: ArgumentParser) -> None:
    add_run(command, "run_folder")
    command.add_argument("folder", metavar="FOLDER", type=Path, help="a new or empty one, or an earlier export")
    command.add_argument("--push", metavar="USER/NAME", help="upload it to this Space with your own token, too")


def run(options: Namespace) -> None:
    from cifar100.demo import space

    token = None
    if options.push:
        print(f"Write {options.folder}. {space.describe_push(options.push)}", flush=True)
        token = space.load_token()
    files = space.export_space(options.run_folder, options.folder)
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{options.folder}: {len(files)} files, {size:.1f} MB. Try it there with `python app.py`.", flush=True)
    if token:
        print(f"The Space is at {space.push_space(options.folder, options.push, token)}")
