"""The repository's address. Its one home is pyproject.toml; badges and the notebook's bootstrap are written from it."""

import json
import re
from pathlib import Path

from cifar100.errors import UserError
from cifar100.files import write_text

COLAB = "https://colab.research.google.com"
LINE = re.compile(r'^Repository = "(.*)"\n', re.MULTILINE)  # in pyproject.toml, under [project.urls]
BOOTSTRAP = re.compile(r'^REPOSITORY = ".*?"', re.MULTILINE)  # in the notebook's first code cell
BADGE = re.compile(r"(<!-- badge -->\n).*?(<!-- end of badge -->)", re.DOTALL)


def load_address(root: Path) -> str:
    """The address to clone from, "" while there is none."""
    found = LINE.search((root / "pyproject.toml").read_text(encoding="utf-8"))
    return found[1] if found else ""


def save_address(root: Path, repository: str) -> None:
    """Keep the address. repository: OWNER/NAME on GitHub, or any address that git clones. Raises UserError if it is
    neither."""
    named = re.fullmatch(r"(?:https://github\.com/)?([\w.-]+/[\w.-]+?)(?:\.git)?/?", repository)
    if named:
        repository = f"https://github.com/{named[1]}"
    elif not re.fullmatch(r"(https://|ssh://|git@|file://|/)[^\s\"'\\]+", repository):
        raise UserError(
            f"{repository!r} is no repository: give OWNER/NAME, as GitHub shows it, or an address to clone."
        )
    path = root / "pyproject.toml"
    text = LINE.sub("", path.read_text(encoding="utf-8"))
    if "[project.urls]\n" not in text:
        text += "\n[project.urls]\n"
    write_text(path, text.replace("[project.urls]\n", f'[project.urls]\nRepository = "{repository}"\n'))


def render_badge(address: str, notebook: str) -> str:
    """The line that opens the notebook in Colab, "" unless it lies on GitHub."""
    name = address.removeprefix("https://github.com/")
    if name == address:
        return ""
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{name}/blob/main/{notebook})\n"


def insert_address(text: str, address: str, notebook: str) -> str:
    """Markdown or a cell's code, with badge and bootstrap for this address."""
    text = BADGE.sub(lambda found: found[1] + render_badge(address, notebook) + found[2], text)
    return BOOTSTRAP.sub(lambda _: f"REPOSITORY = {json.dumps(address)}", text)


def render_notebook(path: Path, address: str) -> str:
    """The notebook's text with badge and bootstrap for this address; its very bytes if nothing changes."""
    text = path.read_text(encoding="utf-8")
    notebook, changed = json.loads(text), False
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        cell["source"] = insert_address(source, address, path.name).splitlines(keepends=True)
        changed |= source != "".join(cell["source"])
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n" if changed else text
