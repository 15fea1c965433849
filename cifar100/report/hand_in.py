"""What is handed in: the list of it, with what is still missing, and one zip file."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from cifar100.errors import UserError
from cifar100.files import write_bytes
from cifar100.report.published import is_published
from cifar100.report.reported import ASKED_FOR
from cifar100.report.submission import Submission
from cifar100.runs.run import Run

NOTEBOOK, LOG = "CIFAR100_ResNet.ipynb", "training_logs.md"
PAGES = (NOTEBOOK, "cifar100_eda.ipynb", LOG, "README.md", "submission.json")


def load_own(root: Path, submission: Submission) -> Run | None:
    """The run that is handed in; None while there is none. Raises UserError if it is damaged, or gone."""
    return Run.load(root / "output" / submission.run) if submission.run else None


def list_items(root: Path, submission: Submission) -> Iterator[tuple[bool, str]]:
    """All that the course asks for, each with whether it is there."""
    run = load_own(root, submission)
    accuracy = run.history[-1].eval_accuracy if run else 0.0
    reached = f" ({accuracy:.2%})" if run else ""
    yield bool(run and not is_published(run)), "a network that you have trained yourself, from random weights"
    yield accuracy >= ASKED_FOR, f"at least {ASKED_FOR:.0%} top-1 on the test set after the last epoch{reached}"
    yield bool(run and shows(root / NOTEBOOK, f"{accuracy:.2%}")), f"`{NOTEBOOK}`, executed with this run and saved"
    yield bool(run), f"`{LOG}` with every epoch of it, and no runs but your own (`python -m cifar100 hand-in RUN`)"
    yield (
        bool(submission.repository),
        "a public repository with all of this, and its address (`--repository OWNER/NAME`)",
    )
    yield bool(submission.space), "the demo as a Hugging Face Space, and its address (`--space USER/NAME`)"
    yield bool(submission.assistants), "which AI assistants have helped (`--assistants TEXT`)"
    yield bool(submission.name and submission.course), "your name and the course (`--name TEXT --course TEXT`)"


def shows(notebook: Path, text: str) -> bool:
    """Whether a notebook was executed from top to bottom without an error, and has this text in an output."""
    if not notebook.is_file():
        return False
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    done = all(cell["execution_count"] for cell in cells if "".join(cell["source"]).strip())
    return done and not any(o["output_type"] == "error" for o in outputs) and text in json.dumps(outputs)


def render_list(root: Path) -> str:
    """The list in Markdown, for the README, the notebook, the log and the zip file."""
    items = list_items(root, Submission.load(root))
    return "".join(f"- [{'x' if done else ' '}] {text}\n" for done, text in items)


def render_block(root: Path) -> str:
    """What stands at the top of the log that is handed in; nothing before that."""
    submission = Submission.load(root)
    run = load_own(root, submission)
    if run is None:
        return ""
    last = run.history[-1]
    result = f"{last.eval_accuracy:.2%} top-1 on the test set after {last.epoch} epochs of `{run.recipe.name}`"
    facts = {
        "Name": submission.name,
        "Course": submission.course,
        "Date": submission.date,
        "Repository": submission.repository,
        "Hugging Face Space": submission.space,
        "AI assistants": submission.assistants,
        "Result": result,
    }
    lines = [f"- {name}: {text}" for name, text in facts.items() if text]
    return "\n".join(["## Submission", "", *lines, "", render_list(root)])


def pack(root: Path, target: Path, space: Path | None) -> list[str]:
    """Write pages, run, figures and the exported Space into one zip file, with the list as HAND_IN.md. Returns the
    names in it. Raises UserError if the file cannot be written."""
    run = load_own(root, Submission.load(root))
    if run is None:
        raise UserError("Nothing is handed in yet: name a run.")
    files = [root / name for name in PAGES]
    files += [*run.folder.iterdir(), *run.folder.parent.glob("*.*"), *(root / "assets").rglob("*.*")]
    packed = {path.relative_to(root).as_posix(): path for path in files if path.is_file()}
    if space:
        packed |= {f"space/{path.relative_to(space).as_posix()}": path for path in space.rglob("*") if path.is_file()}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("HAND_IN.md", "# What is handed in\n\n" + render_list(root))
        for name, path in packed.items():
            archive.write(path, name)
    write_bytes(target, content.getvalue())
    return ["HAND_IN.md", *packed]
