"""What a submission says of itself, kept in submission.json at the top of the project.

The repository's address has its home there; badges and the notebook's REPOSITORY are written from it.
"""

import json
import re
from pathlib import Path

from cifar100.errors import UserError, printable
from cifar100.files import ROOT, load_json, write_text

DETAILS = {  # and what the log calls each
    "name": "Name",
    "course": "Course",
    "date": "Date",
    "repository": "Repository",
    "space": "Hugging Face Space",
    "assistants": "AI assistants",
    "run": "Run",  # recipe/seed<k>
}
COLAB = "https://colab.research.google.com"
GITHUB, SPACES = "https://github.com/", "https://huggingface.co/spaces/"
NAME = r"([\w.-]+/[\w.-]+?)"  # OWNER/NAME
ADDRESS = re.compile(r"(https://|ssh://|git@|file://|/)[^\s\"'\\]+")
BOOTSTRAP = re.compile(r'^REPOSITORY = ".*?"', re.MULTILINE)  # in a cell of the notebook
BADGE = re.compile(r"(<!-- badge -->\n).*?(<!-- end of badge -->)", re.DOTALL)


def load_details(root: Path = ROOT) -> dict[str, str]:
    """All DETAILS, "" where nothing is known yet. Raises UserError if submission.json is damaged."""
    path = root / "submission.json"
    known = load_json(path) if path.is_file() else {}
    if not known.keys() <= DETAILS.keys() or not all(type(text) is str for text in known.values()):
        raise UserError(f"{path} has entries that it cannot have: delete it, and give the details again.")
    return dict.fromkeys(DETAILS, "") | known


def save_details(root: Path = ROOT, **details: str | None) -> None:
    """Keep these of the DETAILS; what is empty stays as it was. Raises UserError for what is no repository or no
    Space."""
    given = {name: printable(text.strip()) for name, text in details.items() if text and text.strip()}
    if "repository" in given:
        named = re.fullmatch(rf"(?:{GITHUB})?{NAME}(?:\.git)?/?", given["repository"])
        given["repository"] = GITHUB + named[1] if named else given["repository"]
        if not ADDRESS.fullmatch(given["repository"]):
            raise UserError(f"{given['repository']!r} is no repository: give OWNER/NAME, or an address to clone.")
    if "space" in given:
        named = re.fullmatch(rf"(?:{SPACES})?{NAME}/?", given["space"])
        if not named:
            raise UserError(f"{given['space']!r} names no Space: give USER/NAME, as Hugging Face shows it.")
        given["space"] = SPACES + named[1]
    known = load_details(root)
    if known | given != known:
        kept = {name: text for name, text in (known | given).items() if text}
        write_text(root / "submission.json", json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def insert_address(text: str, address: str, notebook: str) -> str:
    """Markdown or a cell's code, with the badge that opens the notebook in Colab, where the address is on GitHub, and
    with the notebook's REPOSITORY."""
    name = address.removeprefix(GITHUB)
    link = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{name}/blob/main/{notebook})\n"
    text = BADGE.sub(lambda found: found[1] + (link if name != address else "") + found[2], text)
    return BOOTSTRAP.sub(lambda _: f"REPOSITORY = {json.dumps(address)}", text)


def render_notebook(path: Path, address: str) -> str:
    """The notebook's text with this address; its very bytes if nothing changes. Raises UserError if it is
    damaged."""
    text, notebook, changed = path.read_text(encoding="utf-8"), load_json(path), False
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        cell["source"] = insert_address(source, address, path.name).splitlines(keepends=True)
        changed |= source != "".join(cell["source"])
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n" if changed else text
