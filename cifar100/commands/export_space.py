"""Write a run as a Hugging Face Space.

Example: python -m cifar100 export-space output/sprint space
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cifar100.commands.options import add_run


def add_options(command: ArgumentParser) -> None:
    add_run(command, "run_folder")
    command.add_argument("folder", metavar="FOLDER", type=Path, help="a new or empty one, or an earlier export")
    text = "upload it to this public Space, which is created if there is none, with your own Hugging Face token"
    command.add_argument("--push", metavar="USER/NAME", help=text)


def run(options: Namespace) -> None:
    from cifar100.demo import space

    token = space.check_push(options.push) if options.push else None  # before anything is written
    files = space.export_space(options.run_folder, options.folder)
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{options.folder}: {len(files)} files, {size:.1f} MB. Try it there with `python app.py`.", flush=True)
    if token:
        print(
            f"Uploading to the public Space {options.push}; its folders cifar100 and output are replaced.", flush=True
        )
        print(f"The Space is at {space.push_space(options.folder, options.push, token)}")
