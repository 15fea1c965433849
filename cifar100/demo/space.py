"""A run as a Hugging Face Space: a folder that holds the page, the package and the weights."""

import platform
import re
import shutil
from importlib.metadata import version
from pathlib import Path

from cifar100.demo.answers import DRAWINGS
from cifar100.errors import UserError, brief
from cifar100.files import ROOT
from cifar100.network import load_network
from cifar100.report.run_pages import fill_in, render_card
from cifar100.runs.find import RUN_FILES, find_run, run_folder
from cifar100.runs.run import Run

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)  # USER/NAME
MARK = "python -m cifar100 export-space"  # in the README of every export
# What lies in an export, or is left there by running it or by looking at it
OWN = {"README.md", "MODEL_CARD.md", "LICENSE", ".gitattributes", "requirements.txt", "app.py", "model.py"}
LEFT = {"__pycache__", ".gradio", ".DS_Store", "Thumbs.db", "desktop.ini"}
NOT_SENT = [f"{start}{name}{end}" for name in sorted(LEFT) for start in ("", "**/") for end in ("", "/**")]
# Requirements of the project that the page does not load
NOT_NEEDED = {"albumentations", "torch-lr-finder", "torchsummary", "seaborn", "jupyter", "papermill"}
# The CPU's torch: PyPI's brings gigabytes for GPUs, which a free Space does not have.
INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"
README, APP = (Path(__file__).with_name(f"space_{name}.jinja") for name in ("readme.md", "app.py"))


def export_space(run: Path, folder: Path) -> list[Path]:
    """Write a run's Space to a folder, whole or not at all, in place of an earlier export. Returns its files.

    Raises UserError if there is no such run with weights, if one of its files is missing or damaged, or if the folder
    holds anything else.
    """
    run, folder = find_run(run), Path(folder).resolve()
    refuse_others(folder)
    contents, growing = make_contents(run), folder.with_name(f".{folder.name}.growing")
    try:
        shutil.rmtree(growing, ignore_errors=True)  # what a crash has left
        for name, content in contents.items():
            (growing / name).parent.mkdir(parents=True, exist_ok=True)
            (growing / name).write_bytes(content)
        if folder.exists():
            shutil.rmtree(folder)
        growing.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): free some space, or name another.") from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return [folder / name for name in sorted(contents)]


def refuse_others(folder: Path) -> None:
    """Raises UserError unless the folder is missing, empty, or holds an earlier export and nothing else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: name a new folder.")
    names, readme = {path.name for path in folder.iterdir()} - LEFT, folder / "README.md"
    exported = readme.is_file() and MARK.encode() in readme.read_bytes()
    if names and not (exported and names <= {*OWN, "cifar100", "output"}):
        raise UserError(f"{folder} holds other files than an earlier export: name a new or an empty folder.")


def make_contents(folder: Path) -> dict[str, bytes]:
    """The Space's files by their path in it. Raises UserError if a file of the run is missing or damaged."""
    run = Run.load(folder)
    load_network(folder)  # damaged weights are refused here, in their own words
    target = run_folder(run.recipe).as_posix()
    card = {"MODEL_CARD.md": render_card(run, hub=True)} if "evaluation" in run.metrics else {}
    needed = re.findall(r"^[\w-]+", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    # As they are installed here, without a build's suffix such as +cu132
    pins = [f"{name}=={version(name).partition('+')[0]}" for name in needed if name not in NOT_NEEDED]
    python = ".".join(platform.python_version_tuple()[:2])
    texts = card | {
        "README.md": fill_in(README, run=run, card=card, mark=MARK, gradio=version("gradio"), python=python),
        "app.py": fill_in(APP, name=run.recipe.name, run=target),
        "requirements.txt": "\n".join([INDEX, *pins, ""]),
        ".gitattributes": "".join(f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("safetensors", "png")),
    }
    copied = [*sorted(ROOT.glob("cifar100/**/*.py")), *DRAWINGS, ROOT / "model.py", ROOT / "LICENSE"]
    contents = {name: text.encode() for name, text in texts.items()}
    contents |= {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in copied}
    return contents | {f"{target}/{name}": (folder / name).read_bytes() for name in RUN_FILES}


def check_push(name: str) -> str:
    """The user's own token, from HF_TOKEN or where `hf auth login` keeps it. Raises UserError if there is none, or if
    name is not USER/NAME."""
    from huggingface_hub import get_token

    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} names no Space: give USER/NAME, as Hugging Face shows it.")
    token = get_token()
    if not token:
        raise UserError("There is no Hugging Face token here: run `hf auth login`, or set HF_TOKEN.")
    return token


def push_space(folder: Path, name: str, token: str) -> str:
    """Upload an exported Space and return its address. Raises UserError if the Hub refuses, or is out of reach."""
    from huggingface_hub import HfApi

    hub, patterns = HfApi(token=token), {"ignore_patterns": NOT_SENT, "delete_patterns": ["cifar100/**", "output/**"]}
    try:
        address = hub.create_repo(name, repo_type="space", space_sdk="gradio", exist_ok=True)
        hub.upload_folder(repo_id=name, repo_type="space", folder_path=folder, **patterns)
    # Everything: its library for HTTP has changed twice, each has a base of its own, and an illegal header or a proxy
    # of a kind that is not installed raises something else again.
    except Exception as error:
        raise UserError(
            f"The upload of {folder} to the Space {name} at {hub.endpoint} failed ({brief(error).rstrip('.')}): check "
            "the network, a proxy, the name, and the token's right to write; the folder itself is whole."
        ) from error
    return str(address)
