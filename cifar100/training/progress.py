"""Say how far a run is and how long it will take, and stop it in time."""

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from cifar100.parallel.group import Group
from cifar100.recipe import Recipe
from cifar100.runs.history import format_seconds


class OutOfTime(Exception):
    """The epoch would not end before the deadline."""


WARM_UP = 3  # steps at a new resolution that are not measured: they compile, and fetch memory
MEASURED = 5  # steps that have to be measured before an estimate counts


class Progress:
    """Wraps an epoch's batches: a bar on a terminal, elsewhere a line with an estimate.

    A step on a smaller picture costs less, so that the time left is counted in pixels, not steps.
    Raises OutOfTime as soon as the epoch cannot end, evaluation included, before the deadline
    (on time.monotonic's clock).
    """

    def __init__(self, recipe: Recipe, deadline: float = math.inf, say: Callable[[str], None] = print):
        self.recipe, self.deadline, self.say = recipe, deadline, say
        self.pixels = self.seconds = 0.0  # of the steps that were measured
        self.measured = self.at_this_size = 0
        self.size: int | None = None
        self.between = 0.0  # seconds from the last batch of an epoch to the first of the next
        self.ended: float | None = None
        self.costs: list[float] = []  # pixels of all steps before each step of the run
        self.announced = False

    def __call__(self, batches: Iterable, epoch: int, steps: int, first: int, total: int) -> Iterator:
        """batches of one epoch: `steps` of them, the first being number `first` of `total` in the run."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            batches = tqdm(batches, desc=f"Epoch {epoch}", total=steps, leave=False, unit="batch")
        if len(self.costs) != total + 1:
            sizes = (self.recipe.resolution(step / total) for step in range(total))
            self.costs = [0, *itertools.accumulate(size**2 for size in sizes)]
        start = time.monotonic()
        if self.ended is not None:
            self.between = start - self.ended
        for step, batch in enumerate(batches, start=first):
            yield batch
            now = time.monotonic()
            self.measure(self.costs[step + 1] - self.costs[step], now - start)
            start = now
            if now > self.deadline or (
                self.measured >= MEASURED and now + self.rest(step, first, steps) > self.deadline
            ):
                raise OutOfTime
            if not self.announced and self.measured >= MEASURED and self.seconds > 5:
                self.announced = True
                self.say(f"About {format_seconds(self.left(step))} to go, evaluation aside.")
        self.ended = time.monotonic()

    def measure(self, pixels: float, seconds: float) -> None:
        """Count a step, unless it is one of the first of its size."""
        self.at_this_size = self.at_this_size + 1 if pixels == self.size else 1
        self.size = pixels
        if self.at_this_size > WARM_UP:
            self.pixels, self.seconds, self.measured = self.pixels + pixels, self.seconds + seconds, self.measured + 1

    def left(self, step: int) -> float:
        """Seconds of training after the step, to the end of the run."""
        return self.seconds / self.pixels * (self.costs[-1] - self.costs[step + 1])

    def rest(self, step: int, first: int, steps: int) -> float:
        """Seconds after the step to the end of its epoch, evaluation included."""
        pace, end = self.seconds / self.pixels, self.costs[first + steps]
        # Before it was measured: the forward passes of 10,000 images beside steps on 50,000.
        after = self.between or 0.15 * pace * (end - self.costs[first])
        return pace * (end - self.costs[step + 1]) + after


def keep_in_step(progress: Progress, group: Group) -> Callable[..., Iterable]:
    """The first process's progress for its whole group: they run out of time in the same step, not by clocks of their
    own. The others show nothing."""
    if group.size == 1:
        return progress

    def wrap(batches: Iterable, *place: int) -> Iterator:
        own = iter(progress(batches, *place) if group.rank == 0 else batches)
        while True:
            try:
                batch, over = next(own, None), False
            except OutOfTime:
                batch, over = None, True
            if math.isfinite(progress.deadline) and group.broadcast(over):
                raise OutOfTime
            if batch is None:
                return
            yield batch

    return wrap
