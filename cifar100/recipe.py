"""The recipes: every number that changes a result, under one name a published result.

A variant is `replace(RECIPES["sprint"], seed=1)`, never a copy. This room does not import torch:
`python -m cifar100 recipes` answers at once.
"""

import difflib
import math
from dataclasses import asdict, dataclass, fields, replace

from cifar100.errors import UserError

NETWORKS = ("resnet20", "resnet56", "resnet110", "resnet18", "resnet34", "sprint")  # builders in model.py
CHANGEABLE = ("seed", "epochs", "batch_size", "lr", "weight_decay")  # by an option of `train`
SCHEDULES = ("triangle",)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of one run. Learning rates apply to the mean loss of a batch."""

    name: str
    network: str
    epochs: float  # may end within an epoch: 8.75
    batch_size: int
    seed: int = 0

    # SGD for everything; with muon_lr, for all but the convolutions' filters
    lr: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    norm_weight_decay: bool = True  # also on the norms' parameters and on biases
    muon_lr: float | None = None
    muon_momentum: float = 0.6

    # a factor on every learning rate, step by step
    schedule: str
    warmup: float = 0.0  # fraction of all steps over which the rate rises

    # augmentation and loss
    crop_padding: int = 0  # pixels of reflection on each side before a random 32x32 crop
    flip: str = "none"  # "random", or "alternating": a random half first, then the other half, in turn
    resolutions: tuple[tuple[float, int], ...] = ()  # ((until this fraction of the steps, pixels), ...), then 32
    label_smoothing: float = 0.0

    weights_precision: str = "float32"  # of the saved filters; norms and statistics stay float32

    def __post_init__(self):
        def check(holds: bool, field: str, rule: str):
            if not holds:
                raise UserError(f"Recipe {self.name}: {field} must be {rule}, not {getattr(self, field)!r}.")

        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                check(False, field.name, "a finite number")
        check(self.network in NETWORKS, "network", f"one of {', '.join(NETWORKS)}")
        check(self.schedule in SCHEDULES, "schedule", f"one of {', '.join(SCHEDULES)}")
        check(self.flip in ("none", "random", "alternating"), "flip", "none, random or alternating")
        check(self.weights_precision in ("float32", "float16"), "weights_precision", "float32 or float16")
        check(self.epochs > 0, "epochs", "more than 0")
        check(isinstance(self.batch_size, int) and self.batch_size > 0, "batch_size", "a whole number above 0")
        check(isinstance(self.seed, int) and 0 <= self.seed < 2**31, "seed", "a whole number from 0 to 2147483647")
        check(self.lr > 0, "lr", "more than 0")
        check(self.muon_lr is None or self.muon_lr > 0, "muon_lr", "more than 0, or None")
        check(0 <= self.momentum < 1, "momentum", "from 0 up to, but not, 1")
        check(0 <= self.muon_momentum < 1, "muon_momentum", "from 0 up to, but not, 1")
        check(self.weight_decay >= 0, "weight_decay", "0 or more")
        check(0 <= self.warmup < 1, "warmup", "from 0 up to, but not, 1")
        check(0 <= self.crop_padding < 32, "crop_padding", "from 0 to 31")
        check(0 <= self.label_smoothing < 1, "label_smoothing", "from 0 up to, but not, 1")
        until = [0.0, *(fraction for fraction, _ in self.resolutions), 1.0]
        rising = all(a < b for a, b in zip(until, until[1:])) and all(16 <= px <= 32 for _, px in self.resolutions)
        check(rising, "resolutions", "pairs of a rising fraction below 1 and 16 to 32 pixels")

    def resolution(self, progress: float) -> int:
        """Side of the training images in pixels; progress: fraction of the steps done, 0..1."""
        return next((pixels for until, pixels in self.resolutions if progress < until), 32)

    def to_dict(self) -> dict:
        """As JSON holds it: `Recipe.from_dict` of it equals the recipe."""
        return asdict(self) | {"resolutions": [list(pair) for pair in self.resolutions]}

    @classmethod
    def from_dict(cls, settings: dict) -> "Recipe":
        """Raises UserError if a field is unknown, missing or wrong."""
        try:
            return cls(**(settings | {"resolutions": tuple(tuple(pair) for pair in settings["resolutions"])}))
        except (TypeError, KeyError) as error:
            raise UserError(f"These are not the settings of a recipe ({error}): train it again.") from error


# python -m cifar100 train sprint
SPRINT = Recipe(
    name="sprint",
    network="sprint",
    epochs=8.75,
    batch_size=1024,
    lr=1.38,
    nesterov=True,
    weight_decay=5e-4,
    norm_weight_decay=False,
    muon_lr=0.18,
    schedule="triangle",
    warmup=0.25,
    crop_padding=2,
    flip="alternating",
    resolutions=((0.15, 20), (0.50, 24)),
    label_smoothing=0.25,
    weights_precision="float16",
)

# CIFAR100_DATA=sample python -m cifar100 train smoke
SMOKE = Recipe(
    name="smoke",
    network="resnet20",
    epochs=6,
    batch_size=128,
    lr=0.2,
    nesterov=True,
    schedule="triangle",
    warmup=0.3,
    crop_padding=2,
    flip="random",
)

RECIPES = {recipe.name: recipe for recipe in (SPRINT, SMOKE)}


def find_recipe(name: str, **changes) -> Recipe:
    """The named recipe with some fields changed. Raises UserError for an unknown name."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"There is no recipe {name!r}.{hint} The recipes are: {', '.join(RECIPES)}.")
    return replace(RECIPES[name], **changes)
