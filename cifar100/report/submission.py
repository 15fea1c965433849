"""What a submission says of itself: submission.json, at the top of the project. The repository's address has its home
there; badges and the notebook's first cell are written from it."""

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from cifar100.errors import UserError, printable
from cifar100.files import load_json, write_text

COLAB = "https://colab.research.google.com"
GITHUB, SPACES = "https://github.com/", "https://huggingface.co/spaces/"
NAME = r"[\w.-]+/[\w.-]+?"  # OWNER/NAME
BOOTSTRAP = re.compile(r'^REPOSITORY = ".*?"', re.MULTILINE)  # in a cell of the notebook
BADGE = re.compile(r"(<!-- badge -->\n).*?(<!-- end of badge -->)", re.DOTALL)


@dataclass(frozen=True)
class Submission:
    """Empty where nothing is known yet."""

    name: str = ""
    course: str = ""
    date: str = ""
    repository: str = ""  # an address that git clones
    space: str = ""  # of the Hugging Face Space
    assistants: str = ""  # the AI assistants that were used
    run: str = ""  # recipe/seed<k>

    @classmethod
    def load(cls, root: Path) -> "Submission":
        """Raises UserError if submission.json is damaged."""
        path = root / "submission.json"
        values = load_json(path) if path.is_file() else {}
        if not values.keys() <= {field.name for field in fields(cls)} or not all(
            type(v) is str for v in values.values()
        ):
            raise UserError(f"{path} has entries that it cannot have: delete it, and give the options again.")
        return cls(**values)

    def save(self, root: Path) -> None:
        write_text(root / "submission.json", json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    def change(self, **values: str | None) -> "Submission":
        """With these values, but for those that are None. Raises UserError for what is no repository or no Space."""
        values = {name: printable(value.strip()) for name, value in values.items() if value is not None}
        if "repository" in values:
            named = re.fullmatch(rf"(?:{GITHUB})?({NAME})(?:\.git)?/?", values["repository"])
            values["repository"] = GITHUB + named[1] if named else values["repository"]
            if not re.fullmatch(r"(https://|ssh://|git@|file://|/)[^\s\"'\\]+", values["repository"]):
                raise UserError(f"{values['repository']!r} is no repository: give OWNER/NAME, or an address to clone.")
        if "space" in values:
            named = re.fullmatch(rf"(?:{SPACES})?({NAME})/?", values["space"])
            if not named:
                raise UserError(f"{values['space']!r} names no Space: give USER/NAME, as Hugging Face shows it.")
            values["space"] = SPACES + named[1]
        return replace(self, **values)


def insert_address(text: str, address: str, notebook: str) -> str:
    """Markdown or a cell's code, with the badge that opens the notebook in Colab, where the address is on GitHub, and
    with the notebook's REPOSITORY."""
    name = address.removeprefix(GITHUB)
    link = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{name}/blob/main/{notebook})\n"
    badge = link if name != address else ""
    text = BADGE.sub(lambda found: found[1] + badge + found[2], text)
    return BOOTSTRAP.sub(lambda _: f"REPOSITORY = {json.dumps(address)}", text)


def render_notebook(path: Path, address: str) -> str:
    """The notebook's text with this address; its very bytes if nothing changes."""
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    before = [list(cell["source"]) for cell in notebook["cells"]]
    for cell in notebook["cells"]:
        cell["source"] = insert_address("".join(cell["source"]), address, path.name).splitlines(keepends=True)
    same = ["".join(source) for source in before] == ["".join(cell["source"]) for cell in notebook["cells"]]
    return text if same else json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
