"""The numbers that turn logits into probabilities and sets of classes, from a run's metrics.json."""

from dataclasses import asdict
from typing import Annotated

from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

MOST = 99  # percent: there is a threshold for a confidence of 1%, 2%, ... MOST%


@dataclass(frozen=True, kw_only=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class Answering:
    """What `evaluate --write` fits: see `calibration` and `sets` in cifar100/evaluation. Raises ValueError for invalid
    values."""

    temperature: Annotated[float, Field(gt=0)]  # that the logits are divided by
    penalty: Annotated[float, Field(ge=0)]  # added to the score of a class for each rank beyond `free`
    free: Annotated[int, Field(ge=0)]
    set_thresholds: Annotated[tuple[float, ...], Field(min_length=MOST, max_length=MOST)]  # rising

    @field_validator("set_thresholds")
    @classmethod
    def check(cls, thresholds):
        if list(thresholds) != sorted(thresholds):
            raise ValueError("the thresholds do not rise")
        return thresholds

    def to_dict(self) -> dict:
        return asdict(self) | {"set_thresholds": list(self.set_thresholds)}

    @classmethod
    def from_dict(cls, values: dict) -> "Answering":
        """From the dict of `to_dict`, read from JSON."""
        return cls(**values | {"set_thresholds": tuple(values["set_thresholds"])})
