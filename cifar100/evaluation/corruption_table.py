"""The table of a run's accuracies under corruption, and the file that keeps it. Does not import torch."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from cifar100.errors import UserError
from cifar100.files import load_table, save_table
from cifar100.runs.run import Run

STRENGTHS = {  # at severities 1 to 5
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # deviation of a Gaussian, of the range 0..1
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # deviation of a Gaussian, in pixels
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # factor on the distance to the mean grey value
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),  # added, of the range 0..1
    "JPEG": (80, 65, 58, 50, 40),  # quality
    "pixelation": (0.95, 0.9, 0.85, 0.75, 0.65),  # of the side that is left
}
SEVERITIES = range(1, 6)
OFFICIAL = (  # the kinds of CIFAR-100-C itself, which corruptions_official.py reads; the last four are its extra ones
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    *("speckle_noise", "gaussian_blur", "spatter", "saturate"),
)


@dataclass(frozen=True)
class CorruptionTable:
    """Accuracies under corruption, 0..1."""

    clean: float
    accuracies: dict[str, list[float]]  # corruption -> one for each severity from 1
    images: int  # that each was computed on
    weights: str  # SHA-256 of the weights that were measured

    @property
    def means(self) -> dict[str, float]:
        """Of each corruption over its severities."""
        return {name: mean(values) for name, values in self.accuracies.items()}


def table_file(folder: Path, official: bool = False) -> Path:
    return folder.parent / ("corruptions_official.csv" if official else "corruptions.csv")


def find_table(run: Run, official: bool = False) -> CorruptionTable | None:
    """The table of a run that was kept, if there is one and it is of these weights."""
    path = table_file(run.folder, official)
    table = load_corruptions(path) if path.is_file() else None
    return table if table and table.weights == run.metrics["sha256"]["weights"] else None


def save_corruptions(rows: list[tuple[str, int, float]], count: int, weights: str, path: Path) -> None:
    """Write (corruption, severity, accuracy) rows as a CSV file, with what a CorruptionTable has beside them."""
    lines = ((name, severity, f"{accuracy:.6f}", count, weights) for name, severity, accuracy in rows)
    save_table(path, ("corruption", "severity", "accuracy", "images", "weights"), lines)


def load_corruptions(path: Path) -> CorruptionTable:
    """What `save_corruptions` wrote. Raises UserError if the file is missing or damaged."""
    try:
        rows = load_table(path)
        accuracies = {
            name: [
                float(r["accuracy"]) for r in sorted(rows, key=lambda r: int(r["severity"])) if r["corruption"] == name
            ]
            for name in ("clean", *(OFFICIAL if rows[-1]["corruption"] in OFFICIAL else STRENGTHS))
        }
        (clean,) = accuracies.pop("clean")
        if any(len(values) != len(SEVERITIES) for values in accuracies.values()):
            raise ValueError("a severity is missing")
        return CorruptionTable(clean, accuracies, int(rows[0]["images"]), rows[0]["weights"])
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{path} cannot be read ({error!r}): run `python -m cifar100 corruptions RUN` again."
        ) from error
