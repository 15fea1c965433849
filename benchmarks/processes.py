"""Measure in processes of their own, so that no measurement inherits another one's memory or settings."""

import functools
import signal
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from multiprocessing import get_context

import torch

from cifar100.bench import measure_rate
from cifar100.errors import UserError

WARM_UP = 2  # batches that are not timed: they fetch memory, and compile on a GPU


class Sides(AbstractContextManager):
    """A process for each side of a comparison. They take turns, because a machine's speed drifts."""

    def __init__(self, names: tuple[str, ...], device: torch.device, rounds: int, seconds: float):
        """seconds: of a turn, which lasts one batch at least."""
        self.device, self.rounds, self.seconds = device, rounds, seconds
        # Each starts with its first task. Ctrl-C ends it at once and without a word.
        ctrl_c = (signal.signal, (signal.SIGINT, signal.SIG_DFL))
        self.processes = {name: ProcessPoolExecutor(1, get_context("spawn"), *ctrl_c) for name in names}

    def __exit__(self, *error) -> None:
        for process in self.processes.values():
            process.shutdown()

    def alternate(self, works: dict[str, tuple]) -> dict[str, float]:
        """works: side -> (generator function of the images done, batch by batch; its arguments ...). Returns each
        side's images/s: the median of its turns. Raises UserError if a process dies."""
        turns: dict[str, list[float]] = {side: [] for side in works}
        for _ in range(self.rounds):
            for side, work in works.items():
                turns[side].append(self.run_in(side, take_turn, self.device, self.seconds, *work))
        return {side: statistics.median(rates) for side, rates in turns.items()}

    def run_in(self, side: str, function: Callable, *arguments):
        """What the function returns or raises in the side's process."""
        try:
            return self.processes[side].submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise UserError(f"A process that measures has died ({error}): free some memory, and try again.") from error


def take_turn(device: torch.device, seconds: float, *work) -> float:
    """Go on with the process's work for about `seconds`; returns images/s."""
    return measure_rate(begin(*work), lambda done: done, device, seconds, warm_up=0)


@functools.lru_cache(maxsize=1)  # the network of the work before is let go
def begin(make: Callable[..., Iterator], *arguments) -> Iterator:
    """The work, warm."""
    work = make(*arguments)
    for _ in range(WARM_UP):
        next(work)
    return work
