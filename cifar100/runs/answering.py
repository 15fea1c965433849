"""The numbers that turn a network's logits into probabilities and sets of classes.

They stand in a run's metrics.json under "evaluation", "answering", and nowhere else.
"""

from dataclasses import asdict, dataclass, fields

LARGEST = 1e300  # number that anything in a run may have
MOST = 99  # percent: sets have a threshold for a confidence of 1 %, 2 %, ... MOST %


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What `evaluate --write` fits: see `calibration` and `sets` in cifar100/evaluation. Raises ValueError for values
    that it cannot have given."""

    temperature: float  # that the logits are divided by
    penalty: float  # of a class in a set, for each rank beyond `free`
    free: int
    set_thresholds: tuple[float, ...]  # MOST of them, rising

    def __post_init__(self):
        numbers = (self.temperature, self.penalty, self.free, *self.set_thresholds)
        if not all(type(number) in (int, float) and -LARGEST <= number <= LARGEST for number in numbers):
            raise ValueError("something in it is no finite number")
        if not (self.temperature > 0 and self.penalty >= 0 and self.free >= 0):
            raise ValueError("a number in it is out of range")
        if len(self.set_thresholds) != MOST or list(self.set_thresholds) != sorted(self.set_thresholds):
            raise ValueError(f"its thresholds are not {MOST} rising numbers")

    def to_dict(self) -> dict:
        return asdict(self) | {"set_thresholds": list(self.set_thresholds)}

    @classmethod
    def from_dict(cls, values: dict) -> "Answering":
        """From what `to_dict` gave, read from JSON. Raises ValueError for anything else."""
        if not isinstance(values, dict) or values.keys() != {field.name for field in fields(cls)}:
            raise ValueError("its names are others")
        if not isinstance(values["set_thresholds"], list):
            raise ValueError("its thresholds are no list")
        return cls(**values | {"set_thresholds": tuple(values["set_thresholds"])})
