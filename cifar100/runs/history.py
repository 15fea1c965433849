"""The record of each epoch, on the screen and in history.csv."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from cifar100.errors import UserError
from cifar100.files import read_regular, save_table


@dataclass(frozen=True)
class EpochRecord:
    """One epoch. Losses are means over images; accuracies are top-1, 0..1. Those of training are measured during the
    epoch, on augmented images and with the recipe's label smoothing; those of evaluation without either."""

    epoch: int  # from 1
    lr: float  # of SGD in the epoch's last step
    train_loss: float
    train_accuracy: float
    eval_loss: float
    eval_accuracy: float
    eval_split: str = "test"  # or "validation": held-out training images

    def to_row(self) -> dict:
        return {
            "epoch": self.epoch,
            "lr": float(f"{self.lr:.6g}"),
            "train_loss": round(self.train_loss, 6),
            "train_accuracy": round(self.train_accuracy, 6),
            f"{self.eval_split}_loss": round(self.eval_loss, 6),
            f"{self.eval_split}_accuracy": round(self.eval_accuracy, 6),
        }

    @classmethod
    def from_row(cls, row: dict) -> "EpochRecord":
        split = "validation" if "validation_loss" in row else "test"
        names = ("lr", "train_loss", "train_accuracy", f"{split}_loss", f"{split}_accuracy")
        values = [float(row[name]) for name in names]
        if not all(map(math.isfinite, values)):
            raise ValueError("a number that is not finite")
        return cls(int(row["epoch"]), *values, split)


def save_history(folder: Path, history: list[EpochRecord]) -> None:
    rows = [record.to_row() for record in history]
    save_table(folder / "history.csv", rows[0], (row.values() for row in rows))


def load_history(folder: Path) -> list[EpochRecord]:
    """Raises UserError if history.csv is missing or damaged, or lacks an epoch."""
    path = Path(folder) / "history.csv"
    try:
        return parse_history(read_regular(path), path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore it, or train the run again.") from error


def parse_history(content: bytes, path: Path) -> list[EpochRecord]:
    """The epochs in a history.csv. Raises UserError if it is damaged or an epoch is missing."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))
        history = [EpochRecord.from_row(row) for row in rows]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error!r}): restore it, or train the run again.") from error
    if not history or [record.epoch for record in history] != list(range(1, len(history) + 1)):
        raise UserError(f"{path} does not hold every epoch from the first on: restore it, or train the run again.")
    return history


def format_seconds(seconds: float) -> str:
    """95 -> "1 min 35 s"; hours have no seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_record(record: EpochRecord, epochs: float) -> str:
    """The line of an epoch on the screen and in training_logs.md, from the digits of history.csv: both round alike."""
    record = EpochRecord.from_row(record.to_row())
    split = record.eval_split.capitalize()
    return (
        f"Epoch [{record.epoch}/{math.ceil(epochs)}] - "
        f"Train Loss: {record.train_loss:.4f}, Train Acc: {record.train_accuracy:.2%} - "
        f"{split} Loss: {record.eval_loss:.4f}, {split} Acc: {record.eval_accuracy:.2%}"
    )
