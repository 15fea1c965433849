"""Train several runs at once: one process a device, and a queue of runs."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from cifar100.dataset.loader import count_cores
from cifar100.errors import UserError
from cifar100.files import ROOT
from cifar100.recipe import Recipe

PATIENCE = 30.0  # seconds for a run that is to end, before it is killed


class Spread:
    """Trains recipes on devices by `python -m cifar100 train`, each process one run at a time.

    options: of that command, the same for all runs; minutes: for all of them together.
    """

    def __init__(
        self,
        recipes: list[Recipe],
        devices: list[str],
        options: list[str],
        minutes: float | None = None,
        say: Callable[[str], None] = print,
    ):
        self.devices, self.options, self.say = devices, options, say
        self.deadline = time.monotonic() + 60 * minutes if minutes else None
        self.waiting: queue.SimpleQueue[Recipe] = queue.SimpleQueue()
        for recipe in recipes:
            self.waiting.put(recipe)
        self.running: set[subprocess.Popen] = set()
        self.failures: list[Recipe] = []
        self.ending, self.lock = False, threading.Lock()

    def run(self) -> None:
        """Train all. Raises UserError at the end, if a run could not be trained; the others are. Ctrl-C ends all."""
        threads = [threading.Thread(target=self.work, args=(device,), daemon=True) for device in self.devices]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(0.2)  # in pieces: a wait without end is deaf to Ctrl-C on some systems
        finally:
            self.end()
        if self.failures:
            names = ", ".join(f"{recipe.name} seed {recipe.seed}" for recipe in self.failures)
            raise UserError(f"Not trained: {names}; each one's lines above say why, and --resume continues it.")

    def work(self, device: str) -> None:
        """Train on one device as long as there is something to train."""
        while True:
            left = self.deadline - time.monotonic() if self.deadline else None
            try:
                recipe = self.waiting.get_nowait()
            except queue.Empty:
                return
            if left is not None and left <= 0:
                self.say(f"The time is over before {recipe.name}, seed {recipe.seed}.")
                return
            self.failures.append(recipe)  # until it has gone well, whatever may be raised
            if self.train(recipe, device, left):
                self.failures.remove(recipe)

    def train(self, recipe: Recipe, device: str, left: float | None) -> bool:
        """Train one run in a process of its own, printing its lines. Returns whether it went well."""
        command = [sys.executable, "-m", "cifar100", "train", recipe.name, "--seed", str(recipe.seed)]
        command += ["--device", device, *self.options, *(["--minutes", str(left / 60)] if left else [])]
        with self.lock:
            if self.ending:
                return True
            # A session of its own, so that Ctrl-C reaches it once, from here. Without this process its next line
            # has no reader, and ends it.
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=self.environment(device),
                start_new_session=True,
            )
            self.running.add(process)
        for line in process.stdout:
            self.say(f"{recipe.name}, seed {recipe.seed} | {line.rstrip()}")
        code = process.wait()
        with self.lock:
            self.running.discard(process)
        return code == 0

    def environment(self, device: str) -> dict[str, str]:
        """That of a run's process: the processors are shared out, since each would take them all."""
        together = len(self.devices)
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        variables = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "LOCAL_WORLD_SIZE": str(together)}
        if device == "cpu":
            variables["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or str(max(1, count_cores() // together))
        return os.environ | variables

    def end(self) -> None:
        """End what still runs, as Ctrl-C would, and wait until it has ended."""
        with self.lock:
            self.ending, running = True, list(self.running)
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
