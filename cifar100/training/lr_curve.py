"""What a learning-rate range test has measured, the rate that it suggests, and its file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cifar100.errors import UserError
from cifar100.files import load_table, save_table

DIVERGED = 5  # times the lowest loss so far: there the test stops
MIN_POINTS = 10  # before the loss diverges, else there is no slope to speak of
SKIPPED = 5  # first points, in which momentum and the norms' statistics settle
WIDTH = 0.2  # decades of the rate over which a neighbour's weight in the smoothed loss falls by a factor e
MIN_FALL = 0.02  # of the smoothed loss at the first point that counts
MIN_ERRORS = 4  # standard errors of the smoothed loss


@dataclass(frozen=True)
class LrCurve:
    """A range test's points in the order of the steps, and the rate that they suggest."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]  # means over a batch, before its step; infinite where they were no numbers
    smoothed: tuple[float, ...]  # see `smooth`; the losses themselves where they do not count
    steepest: float | None  # the rate where the smoothed loss falls fastest; None if it does not fall
    fallback: float  # a tenth of the rate where the smoothed loss is lowest
    reason: str  # one sentence: what the curve does, and so why this suggestion

    @property
    def suggestion(self) -> float:
        return self.fallback if self.steepest is None else self.steepest

    @property
    def method(self) -> str:
        return "minimum / 10" if self.steepest is None else "steepest descent"


def suggest_lr(rates: Sequence[float], losses: Sequence[float]) -> LrCurve:
    """The curve with its suggestion: the rate where the smoothed loss falls fastest over the logarithm of the rate.

    Points count from the sixth on, until a loss exceeds five times the lowest before it or is not finite; the search
    ends at their minimum. The suggestion is a tenth of the minimum's rate if that leaves fewer than 10 points, the
    skipped ones included, or unless the loss falls from the sixth point to the minimum by more than 2 % and by more
    than 4 standard errors.
    Raises ValueError unless there are as many losses as rates, at least one, and the rates are finite, above 0 and
    rising.
    """
    rates, losses = np.asarray(rates, np.float64), np.asarray(losses, np.float64)
    if rates.ndim != 1 or not len(rates) or rates.shape != losses.shape:
        raise ValueError("there must be as many losses as rates, at least one")
    if not (np.isfinite(rates).all() and rates[0] > 0 and (np.diff(rates) > 0).all()):
        raise ValueError("the rates must be finite, above 0 and rising")
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
    return LrCurve(*points, steepest, float(rates[minimum] / 10), reason)


def smooth(decades: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exponentially weighted means of the losses, and their standard errors: both (points,).

    Divided by the sum of the weights, which is fastai's correction of the bias at the start. fastai looks back
    only, and so moves a curve to larger rates by as much as it smooths; this looks both ways and moves nothing.
    decades: log10 of the rates; losses: finite, two at least.
    """
    weights = np.exp(-np.abs(decades[:, None] - decades) / WIDTH)
    weights /= weights.sum(1, keepdims=True)
    # Neighbours differ by less than 0.954 deviations as often as by more. A median, so that no blow-up counts.
    noise = np.median(np.abs(np.diff(losses))) / 0.954
    return weights @ losses, noise * np.sqrt((weights**2).sum(1))


def save_curve(curve: LrCurve, path: str | Path) -> None:
    """Write the points as a CSV file, and make its folder. Raises UserError if the disk is full or not writable."""
    save_table(Path(path), ("rate", "loss", "smoothed"), zip(curve.rates, curve.losses, curve.smoothed))


def load_curve(path: str | Path) -> LrCurve:
    """What `save_curve` wrote; all but rates and losses is computed anew. Raises UserError if the file is missing or
    damaged."""
    try:
        points = [(float(row["rate"]), float(row["loss"])) for row in load_table(Path(path))]
        return suggest_lr(*np.transpose(points) if points else ((), ()))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error!r}): restore it, or run the range test again.") from error
