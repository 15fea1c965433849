"""Learning-rate range test: train while the learning rate rises, and suggest a rate from the loss.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3. As in
torch-lr-finder and fastai, and unlike in the paper, the rate rises geometrically over a few hundred steps, and the loss
is used, not the accuracy.
"""

import copy
import io
import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import TqdmWarning, tqdm

from cifar100.dataset.augment_batch import mix
from cifar100.dataset.augment_image import make_generator
from cifar100.dataset.cifar import is_sample, load_training_set
from cifar100.device import choose_device, choose_precision
from cifar100.errors import UserError
from cifar100.files import load_table, save_table
from cifar100.recipe import Recipe
from cifar100.runs.find import run_folder
from cifar100.train import Training, build, make_inputs
from cifar100.training.optimizers import make_optimizers

DIVERGED = 5  # the test stops at this multiple of the lowest loss so far
MIN_POINTS = 10  # needed before the loss diverges, to compute a slope
SKIPPED = 5  # first points, while momentum and batch norm statistics settle
WIDTH = 0.2  # of the smoothing, in decades of the rate: weights fall by a factor e
MIN_FALL = 0.02  # as a fraction of the smoothed loss at the first point
MIN_ERRORS = 4  # the same in standard errors of the smoothed loss


@dataclass(frozen=True)
class LrCurve:
    """The points of a range test in the order of the steps, and the suggested rate."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]  # mean of each batch before its step; infinite instead of NaN
    smoothed: tuple[float, ...]  # see `smooth`; unsmoothed for points that are not used
    steepest: float | None  # the rate where the smoothed loss falls fastest; None if it does not fall clearly
    minimum: float  # the rate where the smoothed loss is lowest
    reason: str  # for the suggestion, in one sentence

    @property
    def suggestion(self) -> float:
        return self.minimum / 10 if self.steepest is None else self.steepest

    @property
    def method(self) -> str:
        return "minimum / 10" if self.steepest is None else "steepest descent"


def lr_range_test(training: Training, start_lr: float = 1e-4, end_lr: float = 10.0, steps: int = 200) -> LrCurve:
    """Train a copy of the network while the rate rises from start_lr to end_lr, until the loss diverges. `training` and
    torch's random states are unchanged. Raises UserError if the recipe has two optimizers or the rates are invalid."""
    recipe, device = training.recipe, training.device
    if recipe.muon_lr:
        raise UserError(
            f"The range test is for recipes with one optimizer, not {recipe.name}: choose one without Muon."
        )
    if not 0 < start_lr < end_lr < math.inf:
        raise UserError(
            f"start_lr and end_lr must be finite, with 0 < start_lr < end_lr, not {start_lr!r} and {end_lr!r}."
        )
    if not isinstance(steps, int) or steps < MIN_POINTS:
        raise UserError(f"steps must be a whole number of {MIN_POINTS} or more, not {steps!r}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # about widgets; the bar is replaced below
        from torch_lr_finder import lr_finder as library  # here, because it imports pyplot

    # The library's own bar leaves widgets in a notebook, and its messages mention a method that we do not use.
    library.tqdm = partial(tqdm, desc="Range test", leave=False, unit="step", disable=None)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), redirect_stdout(io.StringIO()):
        network, dtype = copy.deepcopy(training.network), choose_precision(device)
        finder = library.LRFinder(
            network,
            *make_optimizers(network, recipe),
            criterion=partial(loss_or_infinity, label_smoothing=recipe.label_smoothing),
            amp_backend="torch",
            amp_config={"device_type": device.type, "dtype": dtype, "enabled": dtype != torch.float32},
            grad_scaler=copy.deepcopy(training.scaler),
        )
        batches = library.TrainDataLoaderIter(make_batches(training))
        finder.range_test(batches, None, start_lr, end_lr, steps, smooth_f=0, diverge_th=DIVERGED)
    if not math.isfinite(finder.history["loss"][0]):
        raise UserError("The loss is not a finite number before the first step: use weights that are finite.")
    return suggest_lr(finder.history["lr"], finder.history["loss"])


def find_recipe_lr(
    recipe: Recipe,
    data: str | Path | None = None,
    output: str | Path = "output",
    device: str | None = None,
    start_lr: float = 1e-4,
    end_lr: float = 10.0,
    steps: int = 200,
) -> tuple[LrCurve, Path]:
    """Run a recipe's range test and save it as <recipe>/lr_curve.csv in `output`. Returns the curve and the path."""
    training = build(recipe, load_training_set(data), choose_device(device), compile=False)
    curve = lr_range_test(training, start_lr, end_lr, steps)
    path = curve_file(recipe, output, is_sample(data))
    save_table(path, ("rate", "loss", "smoothed"), zip(curve.rates, curve.losses, curve.smoothed))
    return curve, path


def curve_file(recipe: Recipe, output: str | Path = "output", sample: bool = False) -> Path:
    """The path of a recipe's saved curve."""
    return run_folder(recipe, output, sample).with_name("lr_curve.csv")


def load_curve(path: str | Path) -> LrCurve:
    """Load what `find_recipe_lr` saved. Raises UserError if the file is missing or damaged."""
    try:
        points = [(float(row["rate"]), float(row["loss"])) for row in load_table(Path(path))]
        return suggest_lr(*np.transpose(points) if points else ((), ()))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error!r}): restore it, or run the range test again.") from error


def suggest_lr(rates: Sequence[float], losses: Sequence[float]) -> LrCurve:
    """The curve with its suggestion: the rate where the smoothed loss falls fastest over the logarithm of the rate.

    The first SKIPPED points and those after the divergence are not used, and the search ends at the minimum. With too
    few points, or if the loss does not fall clearly, the suggestion is a tenth of the rate at the minimum. Raises
    ValueError unless there are as many losses as rates, at least one, and the rates are finite, above 0 and rising.
    """
    rates, losses = np.asarray(rates, np.float64), np.asarray(losses, np.float64)
    if (
        not len(rates)
        or rates.shape != losses.shape
        or not (0 < rates[0] and (np.diff(rates) > 0).all() and rates[-1] < np.inf)
    ):
        raise ValueError("there must be as many losses as rates, at least one, and finite, rising rates above 0")
    losses = np.where(np.isfinite(losses), losses, np.inf)
    diverged = np.isinf(losses) | (losses > DIVERGED * np.minimum.accumulate(losses))
    end = int(diverged.argmax()) if diverged.any() else len(losses)

    smoothed, steepest = losses.copy(), None
    if end < MIN_POINTS:
        minimum = int(losses[: max(end, 1)].argmin())
        where = " before the loss diverges" if diverged.any() else ""
        reason = f"There are only {end} points{where}: too few for a slope."
    else:
        counted = slice(SKIPPED, end)
        decades = np.log10(rates[counted])
        smoothed[counted], errors = smooth(decades, losses[counted])
        until = int(smoothed[counted].argmin())
        minimum = SKIPPED + until
        first, lowest = smoothed[SKIPPED], smoothed[minimum]
        if first - lowest > max(MIN_FALL * first, MIN_ERRORS * math.hypot(errors[0], errors[until])):
            slopes = np.gradient(smoothed[counted], decades)
            steepest = float(rates[SKIPPED + slopes[:until].argmin()])
            reason = f"The smoothed loss falls from {first:.3g} to {lowest:.3g}, fastest at a rate of {steepest:.2g}."
        else:
            reason = f"The smoothed loss never falls clearly below the {first:.3g} of its start."
    points = (tuple(values.tolist()) for values in (rates, losses, smoothed))
    return LrCurve(*points, steepest, float(rates[minimum]), reason)


def smooth(decades: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exponentially weighted means of the losses and their standard errors, (points,) each. The weights are symmetric;
    fastai's look back only, which shifts the curve to larger rates. decades: log10 of the rates; losses: 2 or more."""
    weights = np.exp(-np.abs(decades[:, None] - decades) / WIDTH)
    weights /= weights.sum(1, keepdims=True)
    # The median difference of neighbours is 0.954 standard deviations; unlike the mean it is robust to outliers.
    noise = np.median(np.abs(np.diff(losses))) / 0.954
    return weights @ losses, noise * np.sqrt((weights**2).sum(1))


def make_batches(training: Training) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets as in `train_one_epoch`, endlessly."""
    recipe = training.recipe
    for epoch in itertools.count(1):
        torch.manual_seed(make_generator(recipe.seed, epoch, 3).initial_seed())
        training.augmentation.start_epoch(epoch, training.device)
        for images, labels, indices in training.loader.epoch(epoch):
            inputs = make_inputs(training, images, indices, recipe.resolution(0))
            yield mix(inputs, labels, recipe.augmentation)


def loss_or_infinity(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """The training loss, infinite instead of NaN: LRFinder stops if "loss > 5 * best", which is never true for NaN."""
    loss = F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)
    return torch.where(loss.isnan(), math.inf, loss)
