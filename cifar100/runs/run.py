"""A finished run: the recipe, history and metrics in its folder, checked for consistency."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from cifar100.errors import UserError
from cifar100.files import load_json, read_regular, write_text
from cifar100.recipe import CHANGEABLE, Recipe, explain
from cifar100.recipes import RECIPES
from cifar100.runs.answering import Answering
from cifar100.runs.history import EpochRecord, parse_history

WEIGHTS, HISTORY = "weights.safetensors", "history.csv"
THRESHOLDS = (0.50, 0.60, 0.70, 0.73, 0.75, 0.80)  # the first epoch at each of these accuracies is reported
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Plain = Annotated[str, Field(pattern=r"^[^<>|`\[\]]*$")]  # without special characters of Markdown and HTML
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Machine(TypedDict):
    hardware: Plain
    epochs: Annotated[list[int], Field(min_length=2, max_length=2)]  # the first and the last one on it


class Metrics(TypedDict):
    """The contents of metrics.json. Accuracies are 0..1."""

    recipe: str
    seed: int
    epochs: float
    final: dict[str, float]
    best: dict[str, float]  # the epoch with the highest test accuracy, selected on the test split
    reached: dict[str, int | None]
    data: Literal["CIFAR-100", "sample"]
    seconds: Positive  # of training and of evaluation
    images_per_second: Positive  # of training
    hardware: Plain  # of most of the epochs
    machines: NotRequired[list[Machine]]  # if there were several
    versions: dict[str, Plain]
    commit: Plain | None
    sha256: TypedDict("Checksums", {"weights": Digest, "history": Digest})
    evaluation: NotRequired[dict[str, JsonValue]]  # what `evaluate --write` adds


METRICS = TypeAdapter(Metrics)


@dataclass(frozen=True, eq=False)
class Run:
    """The contents of a finished run's folder."""

    folder: Path
    recipe: Recipe
    history: list[EpochRecord]
    metrics: dict  # see `Metrics`

    @classmethod
    def load(cls, folder: str | Path) -> "Run":
        """Raises UserError if a file is missing or damaged, or contradicts another file."""
        folder = Path(folder)
        metrics, recipe = load_metrics(folder), load_recipe(folder)
        history = parse_history(read_recorded(folder / HISTORY, metrics), folder / HISTORY)
        if (folder / WEIGHTS).is_file():  # a run may be published without them
            read_recorded(folder / WEIGHTS, metrics)
        for name, value in summarise_history(recipe, history).items():
            if metrics[name] != value:
                raise UserError(
                    f"{folder / 'metrics.json'} has {name} {metrics[name]!r}, but recipe.json and history.csv give "
                    f"{value!r}: restore them, or train the run again."
                )
        return cls(folder, recipe, history, metrics)

    @property
    def split(self) -> str:
        """The images of its evaluation: "test", or "validation" (held out of the training set)."""
        return self.history[-1].eval_split

    @property
    def sample(self) -> bool:
        """Whether it was trained on the embedded sample."""
        return self.metrics["data"] == "sample"

    @property
    def command(self) -> str:
        """The command that trains it again."""
        named = RECIPES.get(self.recipe.name, self.recipe)
        values = {name: getattr(self.recipe, name) for name in CHANGEABLE}
        changed = {k: str(v).removesuffix(".0") for k, v in values.items() if v != getattr(named, k)}
        options = [f"--{name.replace('_', '-')} {value}" for name, value in changed.items()]
        options += ["--data sample"] if self.sample else []
        options += ["--holdout"] if self.split == "validation" else []
        return " ".join(["python -m cifar100 train", self.recipe.name, *options])

    @property
    def machines(self) -> str:
        """The hardware on which it was trained, with the epochs on each if there were several."""
        several = self.metrics.get("machines", [])
        parts = [f"{m['hardware']} (epochs {m['epochs'][0]}-{m['epochs'][1]})" for m in several]
        return "; ".join(parts) or self.metrics["hardware"]


def load_metrics(folder: str | Path) -> dict:
    """Load metrics.json: see `Metrics`. Raises UserError if it is missing or damaged."""
    path = Path(folder) / "metrics.json"
    metrics = load_json(path)
    try:
        METRICS.validate_python(metrics)
    except ValidationError as error:
        raise UserError(f"{path} is damaged ({explain(error)}): restore it, or train the run again.") from error
    return metrics


def load_answering(folder: str | Path) -> Answering | None:
    """Temperature and thresholds from `evaluate --write`; None before that. Raises UserError if they are damaged."""
    found = load_metrics(folder).get("evaluation", {}).get("answering")
    try:
        return found and Answering.from_dict(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        path = Path(folder) / "metrics.json"
        raise UserError(f"{path} is damaged (answering): restore it, or evaluate the run again.") from error


def load_recipe(folder: str | Path) -> Recipe:
    """Raises UserError if recipe.json is missing or damaged."""
    path = Path(folder) / "recipe.json"
    try:
        return Recipe.from_json(read_regular(path))
    except (OSError, UserError) as error:
        raise UserError(f"{path} is not a valid recipe ({error}): restore it.") from error


def save_recipe(folder: Path, recipe: Recipe) -> None:
    write_text(folder / "recipe.json", recipe.to_json() + "\n")


def is_finished(folder: Path, recipe: Recipe) -> bool:
    """Whether the folder holds a finished run of exactly this recipe. Raises UserError if a file is damaged."""
    return (folder / "metrics.json").is_file() and Run.load(folder).recipe == recipe


def read_recorded(path: Path, metrics: dict) -> bytes:
    """The content of a run's weights or history. Raises UserError if it cannot be read or does not match the checksum
    in metrics.json."""
    kind = "weights" if path.name == WEIGHTS else "history"
    try:
        content = read_regular(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore it, or train the run again.") from error
    if content.startswith(b"version https://git-lfs"):
        raise UserError(f"{path} is only a Git LFS pointer: fetch the file itself with `git lfs pull`.")
    if metrics["sha256"][kind] != checksum(content, kind):
        raise UserError(
            f"{path} is damaged or from another run (its checksum is not that of metrics.json): restore both, or train "
            "the run again."
        )
    return content


def checksum(content: bytes, kind: str) -> str:
    """SHA-256 in hexadecimal; of the history with Unix line ends, which git changes on Windows."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n") if kind == "history" else content).hexdigest()


def make_metrics(recipe: Recipe, history: list[EpochRecord], folder: Path, **facts) -> dict:
    """The contents of metrics.json. folder: with the run's weights and history; facts: other fields of `Metrics`."""
    checksums = {
        kind: checksum((folder / name).read_bytes(), kind)
        for kind, name in (("weights", WEIGHTS), ("history", HISTORY))
    }
    return summarise_history(recipe, history) | facts | {"sha256": checksums}


def summarise_history(recipe: Recipe, history: list[EpochRecord]) -> dict:
    """The part of metrics.json that follows from the recipe and the history."""

    def row(record: EpochRecord) -> dict:
        return {name: value for name, value in record.to_row().items() if name != "lr"}

    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "final": row(history[-1]),
        "best": row(max(history, key=lambda record: record.eval_accuracy)),
        "reached": {f"{t:.2f}": next((r.epoch for r in history if r.eval_accuracy >= t), None) for t in THRESHOLDS},
    }


def note_epoch(machines: list[Machine], hardware: str, epoch: int) -> None:
    """Record the hardware of the next epoch, counted from 1: a run may be resumed on another machine."""
    if machines and machines[-1]["hardware"] == hardware:
        machines[-1]["epochs"][1] = epoch
    else:
        machines.append({"hardware": hardware, "epochs": [epoch, epoch]})


def main_hardware(machines: list[Machine]) -> str:
    """The hardware of most of the epochs."""
    counts = Counter()
    for machine in machines:
        first, last = machine["epochs"]
        counts[machine["hardware"]] += last - first + 1
    return counts.most_common(1)[0][0]
