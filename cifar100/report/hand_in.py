"""What is handed in: the list of it, with what is still missing, and one zip file."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from cifar100.files import ROOT, load_json, write_bytes
from cifar100.recipe import Recipe
from cifar100.report.published import is_published
from cifar100.report.readme import format_accuracy, format_times, list_accuracies
from cifar100.report.reported import ASKED_FOR, REPORTED
from cifar100.report.submission import DETAILS, load_details
from cifar100.runs.run import Run

NOTEBOOK, LOG = "CIFAR100_ResNet.ipynb", "training_logs.md"
PAGES = (NOTEBOOK, "cifar100_eda.ipynb", LOG, "README.md", "submission.json")


def load_handed(root: Path = ROOT) -> Run | None:
    """The run that is handed in; None before there is one. Raises UserError if it is damaged, or gone."""
    name = load_details(root)["run"]
    return Run.load(root / "output" / name) if name else None


def list_items(root: Path) -> Iterator[tuple[bool, str]]:
    """All that the course asks for, each with whether it is there."""
    run, details = load_handed(root), load_details(root)
    accuracy = run.history[-1].eval_accuracy if run else 0.0
    yield run is not None and not is_published(run), "a network that you have trained yourself, from random weights"
    yield accuracy >= ASKED_FOR, f"at least {ASKED_FOR:.0%} top-1 on the test set after its last epoch"
    yield run is not None and shows(root / NOTEBOOK, f"{accuracy:.2%}"), f"`{NOTEBOOK}`, executed with it and saved"
    yield run is not None, f"`{LOG}` with each of its epochs, and no runs but your own"
    yield bool(details["repository"]), "the address of a public repository with all of this (`--repository OWNER/NAME`)"
    yield bool(details["space"]), "the address of the demo as a Hugging Face Space (`--space USER/NAME`)"
    yield bool(details["assistants"]), "the AI assistants that have helped (`--assistants TEXT`)"
    yield bool(details["name"] and details["course"]), "your name and the course (`--name TEXT --course TEXT`)"


def shows(notebook: Path, text: str) -> bool:
    """Whether a notebook was executed from top to bottom without an error, and has this text in an output."""
    cells = load_json(notebook)["cells"] if notebook.is_file() else []
    cells = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    outputs = [output for cell in cells for output in cell["outputs"]]
    whole = all(cell["execution_count"] for cell in cells) and not any(o["output_type"] == "error" for o in outputs)
    return whole and text in json.dumps(outputs)


def render_list(root: Path = ROOT) -> str:
    """The list in Markdown: for the README, the notebook, the log and the zip file."""
    return "".join(f"- [{'x' if done else ' '}] {text}\n" for done, text in list_items(root))


def render_submission(recipe: Recipe, runs: list[Run], root: Path = ROOT) -> str:
    """What stands at the top of the notebook and of the log, in Markdown: whose work it is, and what it has reached.
    runs: of the recipe, maybe none."""
    details = load_details(root)
    lines = [f"- {DETAILS[name]}: {text}" for name, text in details.items() if text and name != "run"]
    if runs:
        each = [f"{accuracy:.2%} (seed {run.recipe.seed})" for run, accuracy in zip(runs, list_accuracies(runs))]
        enough = sum(accuracy >= ASKED_FOR for accuracy in list_accuracies(runs))
        lines.append(f"- Result: {format_accuracy(runs)} top-1 on the test set with `{recipe.name}`: {', '.join(each)}")
        lines.append(f"- {enough} of {len(runs)} reach the {ASKED_FOR:.0%} that the course asks for")
        lines += [f"- The report: {REPORTED[recipe.name].describe()}"] if recipe.name in REPORTED else []
        lines.append(f"- Time: {format_times(runs)}")
    return "\n".join([*lines, "", render_list(root)])


def pack(root: Path, target: Path, space: Path | None) -> list[str]:
    """Write pages, run, figures and the exported Space into one zip file, with the list as HAND_IN.md. Returns the
    names in it. Raises UserError if the file cannot be written."""
    run = load_handed(root)
    files = [*(root / name for name in PAGES), *(root / "assets").rglob("*")]
    files += [*run.folder.parent.glob("*"), *run.folder.glob("*")] if run else []
    packed = {path.relative_to(root).as_posix(): path for path in files}
    packed |= {f"space/{path.relative_to(space).as_posix()}": path for path in space.rglob("*")} if space else {}
    packed = {name: path for name, path in packed.items() if path.is_file()}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("HAND_IN.md", f"# What is handed in\n\n{render_list(root)}")
        for name, path in packed.items():
            archive.write(path, name)
    write_bytes(target, content.getvalue())
    return ["HAND_IN.md", *packed]
