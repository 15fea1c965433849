"""What tells the files of a run from damaged ones: checksums, and what a value may be."""

import hashlib
import json
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from cifar100.errors import UserError, printable
from cifar100.files import check_regular, load_json
from cifar100.runs.answering import LARGEST, Answering
from cifar100.runs.machines import are_machines

FILES = {"weights": "weights.safetensors", "history": "history.csv"}  # those whose SHA-256 metrics.json holds
METRICS = (
    *("recipe", "seed", "epochs", "final", "best", "reached", "data", "seconds", "images_per_second"),
    *("hardware", "versions", "commit", "sha256"),
)  # the keys of every metrics.json; "machines" where there were several, and "evaluation"
ACCURACIES = ("top1", "top5", "flip_tta")  # in an evaluation, beside those by class
DIGEST = re.compile("[0-9a-f]{64}")
# HTML, Markdown and its emphasis, formulas; addresses and names that GitHub makes links. An underscore between letters
# is none of these.
MARKUP = re.compile(r"[<>|`\[\]&*\\~$]|__|(?<!\w)_|_(?!\w)|@(?=\w)|://|www\.", re.IGNORECASE)


def read_file(path: Path) -> bytes:
    """Raises UserError if the file cannot be read."""
    try:
        check_regular(path)
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore it, or train the run again.") from error


def digest(content: bytes, path: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal; of a table as it was written, since git gives it other line ends
    on Windows."""
    if path.suffix == ".csv":
        content = content.replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()


def checksum(path: Path) -> str:
    """`digest` of a file. Raises UserError if it cannot be read."""
    return digest(read_file(path), path)


def compare_checksum(path: Path) -> None:
    """Raises UserError if one of FILES is not the one that the metrics.json beside it was made from. Without a
    metrics.json, as while a run grows, there is nothing to compare with."""
    metrics = path.with_name("metrics.json")
    if metrics.is_file():
        compare_digest(path, read_file(path), load_json(metrics))


def compare_digest(path: Path, content: bytes, metrics: dict) -> None:
    """Raises UserError unless this is the content that metrics.json has the checksum of. metrics: what metrics.json
    holds."""
    kind, recorded = next(kind for kind, name in FILES.items() if name == path.name), metrics.get("sha256")
    if not isinstance(recorded, dict) or recorded.get(kind) != digest(content, path):
        raise UserError(
            f"{path} is damaged or from another run (metrics.json has another checksum of it): restore both, or train "
            "the run again."
        )


def find_answering(metrics: dict) -> dict | None:
    """What a metrics.json has of the numbers that turn logits into answers. None before it is evaluated."""
    evaluation = metrics.get("evaluation")
    return evaluation.get("answering") if isinstance(evaluation, dict) else None


def load_answering(folder: Path) -> Answering | None:
    """The same of a run's folder. Raises UserError if it is damaged."""
    path = folder / "metrics.json"
    found = find_answering(load_json(path))
    try:
        return None if found is None else Answering.from_dict(found)
    except ValueError as error:
        raise UserError(f"{path} is damaged (answering: {error}): restore it, or train the run again.") from error


def load_trained_recipe(weights: Path) -> dict | None:
    """The recipe's settings in the metadata of a weights.safetensors. None if there is no such file or entry: what is
    wrong with the file, its reader says."""
    try:
        check_regular(weights)
        with safe_open(weights, framework="numpy") as file:  # which reads no tensor, and does not import torch
            return json.loads(file.metadata()["cifar100"])["recipe"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def is_plain(text) -> bool:
    """Whether this is text that Markdown and HTML show as it is, in one line and in a table."""
    return isinstance(text, str) and text.isprintable() and not MARKUP.search(text)


def make_plain(text: str) -> str:
    """The text with spaces for all that `is_plain` refuses."""
    return " ".join(MARKUP.sub(" ", printable(text)).split())


def is_number(value, least: float = 0.0, most: float = LARGEST) -> bool:
    """Whether this is a number from `least` to `most`: neither NaN nor infinite, nor too large to be formatted."""
    return type(value) in (int, float) and least <= value <= most


def check_metrics(metrics: dict, path: Path) -> None:
    """Raises UserError if a metrics.json lacks what every run has, or something in it cannot be. What follows from the
    history is compared with it elsewhere; measured times and figures can only be checked for their range."""

    def require(holds: bool, name: str) -> None:
        if not holds:
            raise UserError(f"{path} is damaged (impossible value of {name}): restore it, or train the run again.")

    missing = [name for name in METRICS if name not in metrics]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: restore it, or train the run again.")
    unknown = set(metrics) - {*METRICS, "machines", "evaluation"}
    if unknown:
        raise UserError(f"{path} is damaged (no run has {min(unknown)!r}): restore it, or train the run again.")
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
    if "answering" in evaluation:
        try:
            Answering.from_dict(evaluation["answering"])
        except ValueError:
            require(False, "answering")
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
