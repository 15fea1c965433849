"""End this process in time when another process of its run has ended."""

import itertools
import os
import sys
import threading
import time

import torch.distributed as dist

INTERVAL = 1.0  # seconds between two signs of life
SILENCE = 30.0  # seconds without one after which a process counts as dead; a machine that is gone sends no word
GRACE = 5.0  # seconds for this process to notice by itself, and to end in order
LOST = (
    "Another process of this run has ended, so this one stops: look for what that one said, and continue with --resume "
    "(in Python: resume=True); finished epochs are kept."
)


class Watch:
    """A thread that gives signs of life to the other processes, and looks for theirs.

    A process that waits for a dead one waits until the group's timeout, and that has to be long, since a slow process
    (it compiles, or downloads) is not dead. gloo often notices a closed connection by itself, NCCL or a machine
    without power does not. So every process counts upwards in the store that all of them share.
    """

    def __init__(self, store: dist.Store, rank: int, size: int):
        """store: a connection of this thread's own, since a call that waits blocks all others."""
        self.store, self.rank, self.size = store, rank, size
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.first: bool | None = None  # whether this process is the first to end; None while it has no reason to
        self.thread = threading.Thread(target=self.run, daemon=True)
        store.set(f"alive/{rank}", "0")

    def start(self) -> None:
        """To be called when every process has made its watch."""
        self.thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it: an interpreter that ends while it talks to the store aborts the process."""
        self.stopped.set()
        self.thread.join(GRACE)

    def run(self) -> None:
        latest, since = [], [time.monotonic()] * self.size  # each process's count, and when it last rose
        for count in itertools.count(1):
            if self.stopped.wait(INTERVAL):
                return
            try:
                self.store.set(f"alive/{self.rank}", str(count))
                counts = self.store.multi_get([f"alive/{rank}" for rank in range(self.size)])
                ending = self.store.add("ending", 0)
            except RuntimeError:  # the process that keeps the store has ended
                break
            now = time.monotonic()
            since = [
                before if latest and new == old else now for before, new, old in zip(since, counts, latest or counts)
            ]
            latest = counts
            if ending or now - min(since) > SILENCE:
                break
        first = self.announce()
        if not self.stopped.wait(GRACE):  # the main thread hangs in the call that waits for the dead
            if first:
                print(f"Error: {LOST}", file=sys.stderr, flush=True)
            os._exit(2)

    def announce(self) -> bool:
        """Tell the others that this process ends. Returns whether it is the first, and so has to say why."""
        with self.lock:
            if self.first is None:
                try:
                    self.first = self.store.add("ending", 1) == 1
                except RuntimeError:
                    self.first = True
            return self.first

    def end(self) -> bool:
        """`announce`, then `stop`; the first process stays a little, since the store may end with it."""
        first = self.announce()
        self.stop()
        patience = time.monotonic() + GRACE
        try:
            while self.rank == 0 and self.store.add("ending", 0) < self.size and time.monotonic() < patience:
                time.sleep(INTERVAL / 10)
        except RuntimeError:
            pass
        return first
