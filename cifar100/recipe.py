"""Recipe: every number that changes a result, and what each may be. Does not import torch."""

import sys
from dataclasses import asdict, dataclass, fields
from types import NoneType, UnionType
from typing import get_args, get_origin

from cifar100.errors import UserError

NETWORKS = ("resnet20", "resnet56", "resnet110", "resnet18", "resnet34", "sprint")  # builders in model.py
CHANGEABLE = ("seed", "epochs", "batch_size", "lr", "weight_decay")  # by an option of `train`
MOST_EPOCHS, MOST_LR = 1_000_000, 1_000_000  # far beyond all use, and within what steps and float32 can count
SCHEDULES = ("triangle", "multistep", "onecycle", "cosine")
KINDS = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    NoneType: "None",
    ...: "...",
}


def is_kind(value, kind) -> bool:
    """Whether the value is what the annotation `kind` asks for: every member of a tuple, too. A whole number may
    stand for a float; True and False are no numbers."""
    if isinstance(kind, UnionType):
        return any(is_kind(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        members = get_args(kind)
        if not isinstance(value, tuple):
            return False
        if members[-1] is ...:
            return all(is_kind(member, members[0]) for member in value)
        return len(value) == len(members) and all(map(is_kind, value, members))
    if isinstance(value, bool):
        return kind is bool
    if kind is float:  # a comparison, for isfinite fails at integers beyond the floats
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def name_kind(kind) -> str:
    """What an annotation asks for, in words."""
    if isinstance(kind, UnionType):
        return " or ".join(map(name_kind, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"({', '.join(map(name_kind, get_args(kind)))})"
    return KINDS.get(kind) or f"an {kind.__name__}"


def make_check(owner: str, settings):
    """A function that raises UserError, with the field and the rule it breaks, unless the rule holds. Every field has
    been compared with its annotation then: they come from files."""

    def check(holds: bool, field: str, rule: str) -> None:
        if not holds:
            raise UserError(f"{owner}: {field} must be {rule}, not {getattr(settings, field)!r}.")

    for field in fields(settings):
        check(is_kind(getattr(settings, field.name), field.type), field.name, name_kind(field.type))
    return check


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to a training image, in the order of the fields. Borders and holes are black.

    The same fields build both pipelines; only "device" knows alternating flips.
    """

    pipeline: str = "device"  # whole batches beside the network; or "albumentations", image by image in workers
    crop_padding: int = 0  # pixels on each side before a random 32x32 crop
    crop_border: str = "black"  # or "reflect"
    flip: str = "none"  # "random", or "alternating": a random half first, then the other half, in turn
    shift: float = 0.0  # at most this fraction of the side, up or down and left or right
    scale: tuple[float, float] = (1.0, 1.0)  # smallest and largest, one factor for both axes
    rotation: float = 0.0  # at most so many degrees, either way
    affine_probability: float = 1.0  # of shift, scale and rotation together
    cutout: int = 0  # side in pixels of one square hole
    cutout_probability: float = 1.0
    cutout_anywhere: bool = False  # its centre anywhere in the image, cut off at the border; else wholly inside
    hole_color: str = "black"  # of cutout and erasing; "mean": the training set's mean colour, after the jitter
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # brightness, contrast, saturation, hue
    jitter_probability: float = 1.0
    erasing: float = 0.0  # probability of one rectangular hole of 2 to 30 % of the area (Zhong et al. 2020)
    cutmix_alpha: float | None = None  # Beta(alpha, alpha) for the share of each image (Yun et al. 2019)
    mix_probability: float = 1.0  # of mixing a batch at all

    def __post_init__(self):
        check = make_check("Augmentation", self)
        check(self.pipeline in ("device", "albumentations"), "pipeline", "device or albumentations")
        check(0 <= self.crop_padding < 32, "crop_padding", "from 0 to 31")
        check(self.crop_border in ("black", "reflect"), "crop_border", "black or reflect")
        check(self.flip in ("none", "random", "alternating"), "flip", "none, random or alternating")
        check(0 <= self.shift < 1, "shift", "from 0 up to, but not, 1")
        check(0 < self.scale[0] <= self.scale[1], "scale", "two rising factors above 0")
        check(0 <= self.rotation <= 180, "rotation", "from 0 to 180 degrees")
        check(0 <= self.cutout <= 32, "cutout", "from 0 to 32 pixels")
        check(all(0 <= j < 1 for j in self.jitter[:3]), "jitter", "from 0 up to, but not, 1, and hue up to 0.5")
        check(0 <= self.jitter[3] <= 0.5, "jitter", "from 0 up to, but not, 1, and hue up to 0.5")
        check(self.hole_color in ("black", "mean"), "hole_color", "black or mean")
        shares = ("affine_probability", "cutout_probability", "jitter_probability")
        for name in (*shares, "erasing", "mix_probability"):
            check(0 <= getattr(self, name) <= 1, name, "from 0 to 1")
        check(self.cutmix_alpha is None or self.cutmix_alpha > 0, "cutmix_alpha", "more than 0, or None")
        if self.pipeline == "albumentations":
            check(self.flip != "alternating", "flip", "none or random in the albumentations pipeline")

    def to_dict(self) -> dict:
        """As JSON holds it."""
        return as_lists(asdict(self))

    @property
    def affine(self) -> bool:
        """Whether shift, scale or rotation do anything."""
        return bool(self.shift or self.rotation) or self.scale != (1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of one run. Learning rates apply to the mean loss of a batch."""

    name: str
    network: str
    dropout: float = 0.0  # before the head
    epochs: float  # may end within an epoch: 8.75
    batch_size: int
    seed: int = 0

    # SGD for everything; with muon_lr, for all but the convolutions' filters
    lr: float  # the largest of the schedule
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    norm_weight_decay: bool = True  # also on the norms' parameters and on biases
    muon_lr: float | None = None
    muon_momentum: float = 0.6

    # a factor on every learning rate, step by step
    schedule: str
    warmup: float = 0.0  # fraction of all steps over which the rate rises; not for multistep
    milestones: tuple[float, ...] = ()  # multistep: the rate falls after these epochs ...
    gamma: float = 0.2  # ... by this factor

    augmentation: Augmentation = Augmentation()
    resolutions: tuple[tuple[float, int], ...] = ()  # ((until this fraction of the steps, pixels), ...), then 32
    label_smoothing: float = 0.0
    ema_decay: float | None = None  # average the weights over the steps; the average is evaluated and saved

    weights_precision: str = "float32"  # of the saved filters; norms and statistics stay float32

    def __post_init__(self):
        check = make_check(f"Recipe {self.name}", self)
        check(self.network in NETWORKS, "network", f"one of {', '.join(NETWORKS)}")
        check(self.schedule in SCHEDULES, "schedule", f"one of {', '.join(SCHEDULES)}")
        check(self.weights_precision in ("float32", "float16"), "weights_precision", "float32 or float16")
        check(0 < self.epochs <= MOST_EPOCHS, "epochs", f"more than 0 and at most {MOST_EPOCHS:,}")
        check(0 < self.batch_size < 2**31, "batch_size", "a whole number above 0, and below 2147483648")
        check(0 <= self.seed < 2**31, "seed", "a whole number from 0 to 2147483647")
        check(0 < self.lr <= MOST_LR, "lr", f"more than 0 and at most {MOST_LR:,}")
        known = self.muon_lr is None or 0 < self.muon_lr <= MOST_LR
        check(known, "muon_lr", f"more than 0 and at most {MOST_LR:,}, or None")
        for name in ("dropout", "momentum", "muon_momentum", "warmup", "label_smoothing"):
            check(0 <= getattr(self, name) < 1, name, "from 0 up to, but not, 1")
        check(not self.nesterov or self.momentum > 0, "momentum", "more than 0 with nesterov")
        check(self.network != "sprint" or self.dropout == 0, "dropout", "0 for the sprint network, which has none")
        check(0 <= self.weight_decay <= MOST_LR, "weight_decay", f"0 or more, and at most {MOST_LR:,}")
        check(0 < self.gamma < 1, "gamma", "between 0 and 1")
        check(self.ema_decay is None or 0 < self.ema_decay < 1, "ema_decay", "between 0 and 1, or None")
        rising = all(a < b for a, b in zip((0, *self.milestones), self.milestones))
        within = rising and all(m < self.epochs for m in self.milestones)
        check(within, "milestones", f"rising numbers between 0 and the {self.epochs:g} epochs")
        check(
            (self.schedule == "multistep") == bool(self.milestones), "milestones", "given for multistep, and only there"
        )
        until = [0.0, *(fraction for fraction, _ in self.resolutions), 1.0]
        rising = all(a < b for a, b in zip(until, until[1:])) and all(16 <= px <= 32 for _, px in self.resolutions)
        check(rising, "resolutions", "pairs of a rising fraction below 1 and 16 to 32 pixels")

    def resolution(self, progress: float) -> int:
        """Side of the training images in pixels; progress: fraction of the steps done, 0..1."""
        return next((pixels for until, pixels in self.resolutions if progress < until), 32)

    def to_dict(self) -> dict:
        """As JSON holds it, lists for tuples: `Recipe.from_dict` of it equals the recipe."""
        return as_lists(asdict(self))

    @classmethod
    def from_dict(cls, settings: dict) -> "Recipe":
        """Raises UserError if a field is unknown, missing or wrong."""
        try:
            values = {name: as_tuples(value) for name, value in settings.items()}
            return cls(**values | {"augmentation": Augmentation(**values["augmentation"])})
        except (TypeError, KeyError, ValueError) as error:
            raise UserError(f"These are not the settings of a recipe ({error}): train it again.") from error


def as_lists(value):
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    return [as_lists(item) for item in value] if isinstance(value, tuple) else value


def as_tuples(value):
    if isinstance(value, dict):
        return {key: as_tuples(item) for key, item in value.items()}
    return tuple(as_tuples(item) for item in value) if isinstance(value, list) else value
