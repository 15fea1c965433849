"""Export a run as a Hugging Face Space: a folder with the page, the package and the weights."""

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
# The files of an export, and those that running or viewing it may leave there
OWN = {"README.md", "MODEL_CARD.md", "LICENSE", ".gitattributes", "requirements.txt", "app.py", "model.py"}
LEFT = {"__pycache__", ".gradio", ".DS_Store", "Thumbs.db", "desktop.ini"}
NOT_SENT = [f"{start}{name}{end}" for name in sorted(LEFT) for start in ("", "**/") for end in ("", "/**")]
# Requirements of the project that the page does not need
NOT_NEEDED = {"albumentations", "torch-lr-finder", "torchsummary", "seaborn", "jupyter", "papermill"}
# torch for the CPU: the build on PyPI has gigabytes for GPUs, which a free Space does not have.
INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"
README, APP = (Path(__file__).with_name(f"space_{name}.jinja") for name in ("readme.md", "app.py"))


def export_space(run: Path, folder: Path) -> list[Path]:
    """Export a run to a folder, whole or not at all, replacing an earlier export. Returns its files.

    Raises UserError if there is no such run with weights, if one of its files is missing or damaged, or if the folder
    holds other files.
    """
    run, folder = find_run(run), Path(folder).resolve()
    refuse_others(folder)
    contents, growing = make_contents(run), folder.with_name(f".{folder.name}.growing")
    try:
        shutil.rmtree(growing, ignore_errors=True)  # left by a crash
        for name, content in contents.items():
            (growing / name).parent.mkdir(parents=True, exist_ok=True)
            (growing / name).write_bytes(content)
        if folder.exists():
            shutil.rmtree(folder)
        growing.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): free space, or choose another.") from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return [folder / name for name in sorted(contents)]


def refuse_others(folder: Path) -> None:
    """Raises UserError unless the folder is missing, empty, or holds only an earlier export."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: choose a new folder.")
    names, readme = {path.name for path in folder.iterdir()} - LEFT, folder / "README.md"
    exported = readme.is_file() and MARK.encode() in readme.read_bytes()
    if names and not (exported and names <= {*OWN, "cifar100", "output"}):
        raise UserError(f"{folder} holds other files than an earlier export: choose a new or an empty folder.")


def make_contents(folder: Path) -> dict[str, bytes]:
    """The files of the Space by their path. Raises UserError if a file of the run is missing or damaged."""
    run = Run.load(folder)
    load_network(folder)  # raises an error if the weights are damaged
    target = run_folder(run.recipe).as_posix()
    card = {"MODEL_CARD.md": render_card(run, hub=True)} if "evaluation" in run.metrics else {}
    needed = re.findall(r"^[\w-]+", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    # The installed versions, without a build suffix such as +cu132
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
    """The user's token, from HF_TOKEN or `hf auth login`. Raises UserError if there is none, or if name is not
    USER/NAME."""
    from huggingface_hub import get_token

    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is not the name of a Space: use USER/NAME, as on Hugging Face.")
    token = get_token()
    if not token:
        raise UserError("There is no Hugging Face token: run `hf auth login`, or set HF_TOKEN.")
    return token


def push_space(folder: Path, name: str, token: str) -> str:
    """Upload an exported Space and return its address. Raises UserError if that fails."""
    from huggingface_hub import HfApi

    hub, patterns = HfApi(token=token), {"ignore_patterns": NOT_SENT, "delete_patterns": ["cifar100/**", "output/**"]}
    try:
        address = hub.create_repo(name, repo_type="space", space_sdk="gradio", exist_ok=True)
        hub.upload_folder(repo_id=name, repo_type="space", folder_path=folder, **patterns)
    except Exception as error:  # the Hub's library, its HTTP client and a proxy raise many kinds
        raise UserError(
            f"The upload of {folder} to the Space {name} at {hub.endpoint} failed ({brief(error).rstrip('.')}): check "
            "the network, the proxy, the name, and that the token may write; the exported folder is complete."
        ) from error
    return str(address)
