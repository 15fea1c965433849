"""Say how far a run is and how long it will take, and stop it in time."""

import math
import sys
import time
from collections.abc import Iterable, Iterator

from cifar100.recipe import Recipe
from cifar100.runs import EpochRecord


class OutOfTime(Exception):
    """The epoch would not end before the deadline."""


class Progress:
    """Wraps an epoch's batches: a bar on a terminal, elsewhere one line with an estimate.

    A step on a smaller picture costs less, so that the time left is counted in pixels, not steps.
    Raises OutOfTime as soon as the epoch can not end, evaluation included, before the deadline
    (on time.monotonic's clock).
    """

    def __init__(self, recipe: Recipe, deadline: float = math.inf):
        self.recipe, self.deadline = recipe, deadline
        self.pixels_done = 0
        self.seconds = 0.0  # of training
        self.between = 0.0  # seconds from the last batch of an epoch to the first of the next
        self.ended: float | None = None
        self.announced = False

    def __call__(self, batches: Iterable, epoch: int, steps: int, first: int, total: int) -> Iterator:
        """batches of one epoch: `steps` of them, the first being number `first` of `total` in the run."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            batches = tqdm(batches, desc=f"Epoch {epoch}", total=steps, leave=False, unit="batch")
        cost = [self.recipe.resolution(step / total) ** 2 for step in range(total)]
        start = time.monotonic()
        if self.ended is not None:
            self.between = start - self.ended
        for step, batch in enumerate(batches, start=first):
            yield batch
            now = time.monotonic()
            self.seconds, start = self.seconds + now - start, now
            self.pixels_done += cost[step]
            pace = self.seconds / self.pixels_done
            self.left = pace * sum(cost[step + 1 :])
            this_epoch = pace * sum(cost[step + 1 : first + steps])
            # Before it was measured: the forward passes of 10,000 images beside steps on 50,000.
            after = self.between or 0.15 * pace * sum(cost[first : first + steps])
            if now + this_epoch + after > self.deadline:
                raise OutOfTime
            if not self.announced and self.seconds > 10:
                self.announced = True
                print(f"About {format_seconds(self.left)} to go, evaluation aside.", flush=True)
        self.ended = time.monotonic()


def format_seconds(seconds: float) -> str:
    """95 -> "1 min 35 s"; hours have no seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_record(record: EpochRecord, epochs: int) -> str:
    """The line of an epoch, as it stands on the screen and in training_logs.md."""
    held = record.eval_split.capitalize()
    return (
        f"Epoch [{record.epoch}/{epochs}] - "
        f"Train Loss: {record.train_loss:.4f}, Train Acc: {record.train_accuracy:.2%} - "
        f"{held} Loss: {record.eval_loss:.4f}, {held} Acc: {record.eval_accuracy:.2%}"
    )
