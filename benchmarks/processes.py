"""Measure in separate processes, so that measurements do not share memory or settings."""

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

WARM_UP = 2  # untimed batches, in which memory is allocated and code compiled


class Sides(AbstractContextManager):
    """A process for each side of a comparison. They alternate, because the speed of a machine drifts."""

    def __init__(self, names: tuple[str, ...], device: torch.device, rounds: int, seconds: float):
        """seconds: of each measurement, which has at least one batch."""
        self.device, self.rounds, self.seconds = device, rounds, seconds
        # A process starts with its first task. Ctrl-C ends it immediately and without a message.
        ctrl_c = (signal.signal, (signal.SIGINT, signal.SIG_DFL))
        self.processes = {name: ProcessPoolExecutor(1, get_context("spawn"), *ctrl_c) for name in names}

    def __exit__(self, *error) -> None:
        for process in self.processes.values():
            process.shutdown()

    def alternate(self, works: dict[str, tuple]) -> dict[str, float]:
        """works: side -> (generator function of the number of images per batch, *arguments). Returns the median
        images/s of each side. Raises UserError if a process dies."""
        turns: dict[str, list[float]] = {side: [] for side in works}
        for _ in range(self.rounds):
            for side, work in works.items():
                turns[side].append(self.run_in(side, take_turn, self.device, self.seconds, *work))
        return {side: statistics.median(rates) for side, rates in turns.items()}

    def run_in(self, side: str, function: Callable, *arguments):
        """Call the function in the process of the side."""
        try:
            return self.processes[side].submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise UserError(f"A measuring process has died ({error}): free some memory, and try again.") from error


def take_turn(device: torch.device, seconds: float, *work) -> float:
    """Continue the work of this process for about `seconds`. Returns images/s."""
    return measure_rate(begin(*work), lambda done: done, device, seconds, warm_up=0)


@functools.lru_cache(maxsize=1)  # frees the previous network
def begin(make: Callable[..., Iterator], *arguments) -> Iterator:
    """The work after its warm-up."""
    work = make(*arguments)
    for _ in range(WARM_UP):
        next(work)
    return work
