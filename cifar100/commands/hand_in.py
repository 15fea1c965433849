"""Make one zip file to hand in, with your own runs alone, and say what is still missing.

Example: python -m cifar100 hand-in output/sprint --name Ada --space ada/cifar-100
"""

from argparse import ArgumentParser, Namespace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from cifar100.commands.options import add_run
from cifar100.errors import UserError
from cifar100.files import ROOT, check_writable
from cifar100.report.hand_in import pack, render_list
from cifar100.report.pages import write_all
from cifar100.report.submission import load_details, save_details
from cifar100.runs.find import find_run

TEXTS = {
    "name": "yours",
    "course": "what the submission is for",
    "repository": "OWNER/NAME on GitHub, or any address that git clones",
    "space": "USER/NAME of the Hugging Face Space",
    "assistants": "the AI assistants that have helped",
}


def add_options(command: ArgumentParser) -> None:
    add_run(command)
    for name, text in TEXTS.items():
        command.add_argument(f"--{name}", metavar="TEXT", help=f"{text} (kept for the next time)")
    command.add_argument("--to", metavar="FILE", type=Path, default="hand_in.zip", help="default: hand_in.zip")


def run(options: Namespace) -> None:
    from cifar100.demo.space import export_space

    folder = find_run(options.folder).resolve()
    if folder.parents[1] != ROOT / "output":
        raise UserError(f"{folder} is not in {ROOT / 'output'}: copy the folder of its recipe there, and name that.")
    check_writable(options.to)
    given = {name: getattr(options, name) for name in TEXTS}
    save_details(run="/".join(folder.parts[-2:]), date=load_details()["date"] or f"{date.today()}", **given)
    for path in write_all(ROOT):
        print(f"{path} is rendered anew.")
    with TemporaryDirectory() as temporary:
        space = Path(temporary) / "space"
        try:
            export_space(folder, space)
        except UserError as error:
            print(f"Without the Space: {error}")
        names = pack(ROOT, options.to, space if space.is_dir() else None)
    pages = [name for name in names if not name.startswith("space/")]
    print(f"\n{options.to}, {options.to.stat().st_size / 1e6:.1f} MB:", *pages, sep="\n    ")
    print(f"    space/ ({len(names) - len(pages)} files)")
    print(f"\nWhat it needs, and what is still missing:\n\n{render_list(ROOT)}", end="")
