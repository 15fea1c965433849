"""What tells the files of a run from damaged ones: checksums, and what a value may be."""

import hashlib
import json
import re
from pathlib import Path

from cifar100.errors import UserError
from cifar100.files import load_json
from cifar100.runs.machines import are_machines

FILES = {"weights": "weights.safetensors", "history": "history.csv"}  # those whose SHA-256 metrics.json holds
ACCURACIES = ("top1", "top5", "flip_tta")  # in an evaluation, beside those by class
LARGEST = 1e300  # number that anything here may have
DIGEST = re.compile("[0-9a-f]{64}")
HEADER_BYTES = 100_000_000  # the most that safetensors itself accepts


def checksum(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal; of a table as it was written, since git gives it other line ends on
    Windows. Raises UserError if it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore it, or train the run again.") from error
    if path.suffix == ".csv":
        content = content.replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()


def compare_checksum(folder: Path, kind: str) -> None:
    """Raises UserError if the file of this kind (see FILES) is not the one that metrics.json was made from. Without a
    metrics.json beside it, as in a Space or while a run grows, there is nothing to compare with."""
    if not (folder / "metrics.json").is_file():
        return
    recorded = load_json(folder / "metrics.json").get("sha256")
    if not isinstance(recorded, dict) or recorded.get(kind) != checksum(folder / FILES[kind]):
        raise UserError(
            f"{folder / FILES[kind]} is damaged or from another run (metrics.json has another checksum of it): restore "
            "both, or train the run again."
        )


def load_trained_recipe(weights: Path) -> dict | None:
    """The recipe's settings in the metadata of a weights.safetensors. None if there is no such file or entry: what is
    wrong with the file, its reader says."""
    try:
        with open(weights, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= HEADER_BYTES else {}
        return json.loads(header["__metadata__"]["cifar100"])["recipe"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def is_plain(text) -> bool:
    """Whether this is text that Markdown and HTML show as it is, in one line and in a table."""
    return isinstance(text, str) and text.isprintable() and not set(text) & set("<>|`[]&*\\")


def is_number(value, least: float = 0.0, most: float = LARGEST) -> bool:
    """Whether this is a number from `least` to `most`: neither NaN nor infinite, nor too large to be formatted."""
    return type(value) in (int, float) and least <= value <= most


def check_metrics(metrics: dict, path: Path) -> None:
    """Raises UserError if something in a metrics.json cannot be. What follows from the history is compared with it
    elsewhere; measured times and figures can only be checked for their range."""

    def require(holds: bool, name: str) -> None:
        if not holds:
            raise UserError(f"{path} is damaged ({name} cannot be so): restore it, or train the run again.")

    for name in ("seconds", "images_per_second"):
        require(is_number(metrics[name]) and metrics[name] > 0, name)
    require(metrics["data"] in ("CIFAR-100", "sample"), "data")
    require(is_plain(metrics["hardware"]), "hardware")
    if "machines" in metrics:
        epochs = metrics["final"]["epoch"] if isinstance(metrics["final"], dict) else None
        known = can_be_shown(metrics["machines"]) and are_machines(metrics["machines"], epochs, metrics["hardware"])
        require(known, "machines")
    require(metrics["commit"] is None or is_plain(metrics["commit"]), "commit")
    versions, checksums = metrics["versions"], metrics["sha256"]
    require(isinstance(versions, dict) and all(map(is_plain, [versions.get("torch"), *versions.values()])), "versions")
    require(isinstance(checksums, dict) and set(checksums) == set(FILES), "sha256")
    require(all(isinstance(text, str) and DIGEST.fullmatch(text) for text in checksums.values()), "sha256")
    evaluation = metrics.get("evaluation", {})
    require(isinstance(evaluation, dict) and can_be_shown(evaluation), "evaluation")
    by_class = evaluation.get("per_class", {})
    require(isinstance(by_class, dict), "evaluation")
    shares = [evaluation[name] for name in ACCURACIES if name in evaluation]
    shares += [share for share in by_class.values() if share is not None]  # None: no image of the class
    require(all(is_number(share, 0, 1) for share in shares), "evaluation")


def can_be_shown(value, depth: int = 10) -> bool:
    """Whether all that JSON has brought holds plain text and finite numbers only, in so many nested parts at most."""
    if isinstance(value, dict):
        return depth > 0 and all(is_plain(key) and can_be_shown(item, depth - 1) for key, item in value.items())
    if isinstance(value, list):
        return depth > 0 and all(can_be_shown(item, depth - 1) for item in value)
    return value is None or isinstance(value, bool) or is_plain(value) or is_number(value, -LARGEST)
