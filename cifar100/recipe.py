"""The recipe: every setting that changes a result, with its valid range. Does not import torch."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from cifar100.errors import UserError

CHANGEABLE = ("seed", "epochs", "batch_size", "lr", "weight_decay")  # by options of `train`

Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=1e6)]  # within the range of float32
settings = dataclass(frozen=True, kw_only=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))


def require(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)


def is_rising(*numbers: float) -> bool:
    return all(a < b for a, b in zip(numbers, numbers[1:]))


@settings
class Augmentation:
    """The augmentation of training images, applied in the order of the fields, but a cutout in the mean colour comes
    after the jitter. Only "device" has alternating flips."""

    pipeline: Literal["device", "albumentations"] = "device"  # by batch on the device, or by image in workers
    crop_padding: Annotated[int, Field(ge=0, lt=32)] = 0  # pixels on each side before a random 32x32 crop
    crop_border: Literal["black", "reflect"] = "black"
    flip: Literal["none", "random", "alternating"] = "none"  # see `BatchAugmentation.start_epoch`
    shift: Fraction = 0.0  # at most, as a fraction of the side, in both directions
    scale: tuple[Rate, Rate] = (1.0, 1.0)  # smallest and largest factor, the same for both axes
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0  # at most, in degrees, both ways
    affine_probability: Probability = 1.0  # of shift, scale and rotation together
    cutout: Annotated[int, Field(ge=0, le=32)] = 0  # side in pixels of one square hole (DeVries and Taylor 2017)
    cutout_anywhere: bool = False  # centre anywhere, cut off at the border; else wholly inside
    cutout_probability: Probability = 1.0
    jitter: tuple[Fraction, Fraction, Fraction, Annotated[float, Field(ge=0, le=0.5)]] = (0.0, 0.0, 0.0, 0.0)
    # ... of brightness, contrast, saturation and hue
    jitter_probability: Probability = 1.0
    erasing: Probability = 0.0  # of one rectangular hole of 2 to 30% of the area (Zhong et al. 2020)
    hole_color: Literal["black", "mean"] = "black"  # of cutout and erasing; "mean" is 0 after normalisation
    cutmix_alpha: Rate | None = None  # of the Beta distribution of the mixing ratio (Yun et al. 2019)
    mix_probability: Probability = 1.0  # of applying CutMix to a batch

    @model_validator(mode="after")
    def check(self):
        require(self.scale[0] <= self.scale[1], "scale must be a smaller and a larger factor")
        possible = self.pipeline == "device" or self.flip != "alternating"
        require(possible, "flip must be none or random in the albumentations pipeline")
        return self

    @property
    def affine(self) -> bool:
        """Whether shift, scale or rotation are used."""
        return bool(self.shift or self.rotation) or self.scale != (1.0, 1.0)


@settings
class Recipe:
    """The settings of one training run. Learning rates are for the mean loss of a batch."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$")]  # also of the folder of its runs
    network: Literal["resnet20", "resnet56", "resnet110", "resnet18", "resnet34", "sprint"]  # builders in model.py
    dropout: Fraction = 0.0  # before the head
    epochs: Annotated[float, Field(gt=0, le=1e6)]  # may be fractional, such as 8.75
    batch_size: Annotated[int, Field(gt=0, lt=2**31)]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    # SGD for all parameters; with muon_lr, for all but the filters of convolutions
    lr: Rate  # the peak of the schedule
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 5e-4
    norm_weight_decay: bool = True  # also for the parameters of batch norms and for biases
    muon_lr: Rate | None = None
    muon_momentum: Fraction = 0.6

    # The schedule is a factor on every learning rate, set in each step.
    schedule: Literal["triangle", "multistep", "onecycle", "cosine"]
    warmup: Fraction = 0.0  # fraction of the steps in which the rate rises; not for multistep
    milestones: tuple[float, ...] = ()  # multistep: the rate falls after these epochs ...
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.2  # ... by this factor

    augmentation: Augmentation = Augmentation()
    resolutions: tuple[tuple[float, Annotated[int, Field(ge=16, le=32)]], ...] = ()
    # ... ((end as a fraction of the steps, pixels), ...); 32 after the last one
    label_smoothing: Fraction = 0.0

    weights_precision: Literal["float32", "float16"] = "float32"  # of the saved filters and matrices

    @model_validator(mode="after")
    def check(self):
        require(not self.nesterov or self.momentum > 0, "momentum must be greater than 0 with nesterov")
        require(
            self.network != "sprint" or self.dropout == 0, "dropout must be 0 for the sprint network, which has none"
        )
        rising = is_rising(0, *self.milestones) and all(m < self.epochs for m in self.milestones)
        require(rising, f"milestones must rise and lie between 0 and the {self.epochs:g} epochs")
        given = (self.schedule == "multistep") == bool(self.milestones)
        require(given, "milestones are required for multistep and not allowed for other schedules")
        rising = is_rising(0, *(until for until, _ in self.resolutions), 1)
        require(rising, "resolutions must be pairs (fraction, pixels) with rising fractions between 0 and 1")
        return self

    def resolution(self, progress: float) -> int:
        """Side of the training images in pixels. progress: fraction of the steps done, 0..1."""
        return next((pixels for until, pixels in self.resolutions if progress < until), 32)

    def to_json(self) -> str:
        """`Recipe.from_json` of it equals the recipe."""
        return JSON.dump_json(self, indent=2).decode()

    def to_dict(self) -> dict:
        """A dict as JSON holds it, with lists for tuples."""
        return JSON.dump_python(self, mode="json")

    @classmethod
    def from_json(cls, text: str | bytes) -> "Recipe":
        """Raises UserError if a field is unknown, missing or wrong."""
        try:
            return JSON.validate_json(text)
        except ValidationError as error:
            raise UserError(f"The recipe's settings are invalid ({explain(error)}).") from error


JSON = TypeAdapter(Recipe)


def explain(error: ValidationError) -> str:
    """The first error, in a few words."""
    first = error.errors()[0]
    field, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] == "missing" else f", not {first['input']!r}"
    return f"{field}: {message}{given}" if field else message
