"""The numbers that turn a network's logits into answers, and where a run keeps them.

They stand in metrics.json under "evaluation", "answering". The weights hold a copy beside the recipe, so that the file
alone answers as the run does. The SHA-256 in metrics.json is that of the weights as they were trained, without the
copy: it stays what a second training gives, and what was measured of these weights stays theirs.
"""

import json
import re
from dataclasses import asdict, dataclass, fields

LARGEST = 1e300  # number that anything in a run may have
KEY = "answering"
BASE64 = re.compile("[A-Za-z0-9+/]+={0,2}")
PERCENTS = 99  # thresholds of sets: for a confidence of 1 %, 2 %, ... 99 %
LENGTH_BYTES = 8  # before the header of a safetensors file, which is padded to a multiple of them


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What `evaluate --write` fits: see `calibration`, `sets` and `familiarity` in cifar100/evaluation."""

    temperature: float  # that the logits are divided by
    penalty: float  # of a class in a set, for each place beyond `free` that it has among the most probable
    free: int
    set_thresholds: tuple[float, ...]  # PERCENTS of them, rising
    class_means: str  # packed by `familiarity.pack`
    familiar_from: float  # the cosine from which on a picture may be of one of the classes ...
    energy_from: float = -LARGEST  # ... and the energy, which earlier releases did not look at

    def __post_init__(self):
        numbers = (
            self.temperature,
            self.penalty,
            self.free,
            self.familiar_from,
            self.energy_from,
            *self.set_thresholds,
        )
        if not all(type(number) in (int, float) and -LARGEST <= number <= LARGEST for number in numbers):
            raise ValueError("a number")
        if not (0 < self.temperature and 0 <= self.penalty and 0 <= self.free):
            raise ValueError("a number's range")
        if not isinstance(self.class_means, str) or not BASE64.fullmatch(self.class_means):
            raise ValueError("its class means")
        if len(self.set_thresholds) != PERCENTS or list(self.set_thresholds) != sorted(self.set_thresholds):
            raise ValueError("its thresholds")

    def to_dict(self) -> dict:
        return asdict(self) | {"set_thresholds": list(self.set_thresholds)}

    @classmethod
    def from_dict(cls, values) -> "Answering":
        """Of what JSON has brought. Raises ValueError for anything but what `to_dict` gives."""
        if not isinstance(values, dict) or values.keys() | {"energy_from"} != {field.name for field in fields(cls)}:
            raise ValueError("its names")
        if not isinstance(values["set_thresholds"], list):
            raise ValueError("its thresholds")
        return cls(**values | {"set_thresholds": tuple(values["set_thresholds"])})


def insert_answering(weights: bytes, answering: dict | None) -> bytes:
    """The content of a weights.safetensors with this copy in place of an older one, or with none. No byte of a tensor
    changes. Raises ValueError if it is no such file."""
    header, tensors = split_header(weights)
    try:
        known = json.loads(header["__metadata__"]["cifar100"])
        known.pop(KEY, None)
        header["__metadata__"]["cifar100"] = json.dumps(known if answering is None else known | {KEY: answering})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no recipe in it") from error
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()  # as safetensors writes it
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text + tensors


def extract_answering(weights: bytes) -> dict | None:
    """The copy in a weights.safetensors. None if there is none, or if it is no such file."""
    try:
        return json.loads(split_header(weights)[0]["__metadata__"]["cifar100"]).get(KEY)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def as_trained(weights: bytes) -> bytes:
    """The content of a weights.safetensors without the copy: as `save_weights` wrote it. What was changed in any other
    way comes back as it is."""
    answering = extract_answering(weights)
    if answering is None:
        return weights
    trained = insert_answering(weights, None)
    return trained if insert_answering(trained, answering) == weights else weights


def split_header(weights: bytes) -> tuple[dict, bytes]:
    """The header of a safetensors file, and the bytes behind it. Raises ValueError if it is none."""
    length = int.from_bytes(weights[:LENGTH_BYTES], "little")
    start = LENGTH_BYTES + length
    if start > len(weights):
        raise ValueError("its length")
    header = json.loads(weights[LENGTH_BYTES:start])
    if not isinstance(header, dict):
        raise ValueError("its header")
    return header, weights[start:]
