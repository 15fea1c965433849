"""Training and serving for minutes, with memory and open files looked at all the while."""

import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from benchmarks.visitors import count_open_files, read_memory
from tests.faults.serving import ROOT, serve

from cifar100.demo.examples import load_drawings
from tests.faults.tally import Tally

SAMPLES = 60  # a process, evenly over the time
SLACK = {
    "memory": (1.05, 0),
    "open files": (1.05, 1),
}  # factor and number by which the last third may exceed the middle one

Samples = list[tuple[float, float, int]]  # minutes since the start, memory in MB, open files


def watch(process: int, minutes: float, work: Callable[[], object]) -> Samples:
    """Look at a process SAMPLES times; `work` is called in between, again and again. Fewer samples if the process ends,
    or no longer answers."""
    samples, start = [], time.monotonic()
    while (elapsed := (time.monotonic() - start) / 60) < minutes:
        if elapsed >= len(samples) * minutes / SAMPLES:
            memory, files = read_memory(process), count_open_files(process)
            if memory is None or files is None:
                return samples
            samples.append((elapsed, memory, files))
        try:
            work()
        except httpx.HTTPError:
            return samples
    return samples


def train_long(root: Path, minutes: float) -> Samples:
    """A run on the embedded sample, on one thread, with an epoch and its checkpoint every few seconds."""
    command = [sys.executable, "-m", "cifar100", "train", "smoke", "--data", "sample", "--device", "cpu"]
    command += ["--epochs", "10000", "--output", str(root / "long")]
    with open(root / "log", "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log)
    try:
        while "Epoch" not in (root / "log").read_text() and process.poll() is None:
            time.sleep(1)
        return watch(process.pid, minutes, lambda: time.sleep(0.5))
    finally:
        process.terminate()
        process.wait()


def serve_long(root: Path, minutes: float) -> Samples:
    """A demo that is asked all the time, by turns for a picture and for what is none."""
    buffer = io.BytesIO()
    load_drawings()["clock"].save(buffer, "PNG")
    with serve(root) as page:
        for _ in range(20):  # what it loads at its first requests is no leak
            page.show(buffer.getvalue())

        def ask() -> None:
            page.show(buffer.getvalue())
            page.show(b"no picture")

        return watch(page.process, minutes, ask)


def judge(name: str, samples: Samples, minutes: float) -> str:
    """ "unharmed" if the last third lies no higher than the middle one, else what grew."""
    third = len(samples) // 3
    if not third or samples[-1][0] < 0.8 * minutes:
        return f"{name} ended before its time"
    for k, kind in ((1, "memory"), (2, "open files")):
        middle, last = (
            statistics.median(sample[k] for sample in own) for own in (samples[third : 2 * third], samples[2 * third :])
        )
        factor, more = SLACK[kind]
        if last > middle * factor + more:  # a connection more or less is open at any moment
            return f"{kind} of {name} grew from {middle} to {last}"
    return "unharmed"


def run_long(root: Path, minutes: float) -> dict[str, Samples]:
    """Train and serve side by side: what is looked at is memory, not speed. Empty where the system does not say what a
    process keeps."""
    if read_memory(os.getpid()) is None:
        return {}
    works = {"training": train_long, "serving": serve_long}
    with ThreadPoolExecutor(len(works)) as pool:
        for name in works:
            (root / name).mkdir()
        running = {name: pool.submit(work, root / name, minutes) for name, work in works.items()}
        return {name: future.result() for name, future in running.items()}


def judge_all(samples: dict[str, Samples], minutes: float) -> Tally:
    tally = Tally(f"{minutes:g} minutes of training and of serving")
    for name, own in samples.items():
        tally.note(judge(name, own, minutes))
    return tally
