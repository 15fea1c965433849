"""The submission: its details, the checklist, and the zip file."""

import io
import json
import re
import zipfile
from pathlib import Path

from cifar100.errors import UserError, printable
from cifar100.files import ROOT, load_json, write_bytes, write_text
from cifar100.recipe import Recipe
from cifar100.report.describe import format_mean, format_times, list_accuracies
from cifar100.report.published import is_published
from cifar100.report.reported import ASKED_FOR, REPORTED
from cifar100.runs.history import format_record
from cifar100.runs.run import Run

DETAILS = {  # saved in submission.json in the root folder, with their labels in the log
    "name": "Name",
    "course": "Course",
    "date": "Date",
    "repository": "Repository",  # badges and the REPOSITORY of the notebook are generated from it
    "space": "Hugging Face Space",
    "assistants": "AI assistants",
    "run": "Run",  # recipe/seed<k>
}
GITHUB, SPACES = "https://github.com/", "https://huggingface.co/spaces/"
ADDRESSES = {  # the prefix of OWNER/NAME, and the pattern of valid addresses
    "repository": (GITHUB, r"(https://|ssh://|git@|file://|/)[^\s\"'\\]+"),
    "space": (SPACES, rf"{SPACES}[\w.-]+/[\w.-]+"),
}
NOTEBOOK, LOG = "CIFAR100_ResNet.ipynb", "training_logs.md"
PAGES = (NOTEBOOK, "cifar100_eda.ipynb", LOG, "README.md", "submission.json")


def load_details(root: Path = ROOT) -> dict[str, str]:
    """Load all DETAILS, "" if not given yet. Raises UserError if submission.json is damaged."""
    path = root / "submission.json"
    known = load_json(path) if path.is_file() else {}
    if not known.keys() <= DETAILS.keys() or not all(isinstance(text, str) for text in known.values()):
        raise UserError(f"{path} has unknown entries: delete it, and enter the details again.")
    return dict.fromkeys(DETAILS, "") | known


def save_details(root: Path = ROOT, **details: str | None) -> None:
    """Save some of the DETAILS; empty ones are unchanged. Raises UserError for an invalid repository or Space."""
    given = {name: printable(text.strip()) for name, text in details.items() if text and text.strip()}
    for name in given.keys() & ADDRESSES.keys():
        home, form = ADDRESSES[name]
        given[name] = re.sub(rf"^({home})?([\w.-]+/[\w.-]+?)(\.git)?/?$", rf"{home}\2", given[name])
        if not re.fullmatch(form, given[name]):
            raise UserError(f"{given[name]!r} is not the address of a {name}: give OWNER/NAME, as on {home}.")
    known = load_details(root)
    if known | given != known:
        kept = {name: text for name, text in (known | given).items() if text}
        write_text(root / "submission.json", json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def load_handed(root: Path = ROOT) -> Run | None:
    """The run that is handed in, or None. Raises UserError if it is damaged or missing."""
    name = load_details(root)["run"]
    if name and not (root / "output" / name).is_dir():
        raise UserError(f"submission.json names output/{name}, which is gone: restore it, or delete that entry.")
    return Run.load(root / "output" / name) if name else None


def render_list(root: Path = ROOT) -> str:
    """The requirements of the course as a Markdown checklist, for README, notebook, log and zip file."""
    run, details = load_handed(root), load_details(root)
    accuracy = run.history[-1].eval_accuracy if run else 0.0
    line = format_record(run.history[-1], run.recipe.epochs) if run else ""  # which the notebook prints
    items = {
        "a network that you have trained yourself, from random weights": run and not is_published(run),
        f"at least {ASKED_FOR:.0%} top-1 on the test set after its last epoch": accuracy >= ASKED_FOR,
        f"`{NOTEBOOK}`, executed with this network and saved": run and was_executed(root / NOTEBOOK, line),
        f"`{LOG}` with each of its epochs, and only your own runs": run,
        "the address of a public repository with all of this (`--repository OWNER/NAME`)": details["repository"],
        "the address of the demo as a Hugging Face Space (`--space USER/NAME`)": details["space"],
        "the AI assistants that you used (`--assistants TEXT`)": details["assistants"],
        "your name and the course (`--name TEXT --course TEXT`)": details["name"] and details["course"],
    }
    return "".join(f"- [{'x' if done else ' '}] {text}\n" for text, done in items.items())


def was_executed(notebook: Path, text: str) -> bool:
    """Whether a notebook was executed completely without an error, and has this text in an output."""
    cells = load_json(notebook)["cells"] if notebook.is_file() else []
    cells = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    outputs = [output for cell in cells for output in cell["outputs"]]
    failed = any(output["output_type"] == "error" for output in outputs)
    return all(cell["execution_count"] for cell in cells) and not failed and text in json.dumps(outputs)


def render_submission(recipe: Recipe, runs: list[Run], root: Path = ROOT) -> str:
    """The details and results at the top of notebook and log, in Markdown. runs: of the recipe, may be empty."""
    lines = [f"- {DETAILS[name]}: {text}" for name, text in load_details(root).items() if text and name != "run"]
    if runs:
        accuracies = list_accuracies(runs)
        each = [f": {accuracy:.2%}" if len(runs) > 1 else "" for accuracy in accuracies]
        seeds = ", ".join(f"seed {run.recipe.seed}{accuracy}" for run, accuracy in zip(runs, each))
        lines.append(f"- Result: {format_mean(runs)} top-1 on the test set with `{recipe.name}` ({seeds})")
        enough = sum(accuracy >= ASKED_FOR for accuracy in accuracies)
        lines.append(f"- {enough} of {len(runs)} reach the {ASKED_FOR:.0%} that the course asks for")
        if recipe.name in REPORTED:
            lines.append(f"- The report: {REPORTED[recipe.name].describe()}")
        lines.append(f"- Time: {format_times(runs)}")
    return "\n".join([*lines, "", "To hand in, as `python -m cifar100 hand-in` finds it:", "", render_list(root)])


def pack(root: Path, target: Path, space: dict[str, bytes]) -> list[str]:
    """Write pages, run, figures, Space (its files by path) and the checklist, HAND_IN.md, to a zip file. Returns the
    names in it. Raises UserError if the file cannot be written."""
    run = load_handed(root)
    files = [*(root / name for name in PAGES), *(root / "assets").rglob("*")]
    if run:  # without lock files, and what was measured of other seeds
        beside = run.folder.parent.glob("[!.]*")
        files += [path for path in beside if "_seed" not in path.stem or path.stem.endswith(f"_{run.folder.name}")]
        files += run.folder.glob("[!.]*")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("HAND_IN.md", f"# Submission\n\n{render_list(root)}")
        for path in filter(Path.is_file, files):
            archive.write(path, path.relative_to(root).as_posix())
        for name, file in space.items():
            archive.writestr(f"space/{name}", file)
    write_bytes(target, content.getvalue())
    return archive.namelist()
