"""Runs that are killed, stopped, or cannot write, and what is left of them.

After every one the run is resumed, and must then equal one that nothing happened to, byte for byte; the finished run
that lay in its place before must have been there, whole, until the new one took it.
"""

import random
import shutil
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

from cifar100.errors import UserError
from cifar100.recipe import Recipe
from cifar100.runs.find import run_folder, running_folder
from cifar100.runs.run import load_metrics
from tests.faults.children import OLDER, RECIPE, Run, Trap
from tests.faults.tally import Tally

SAME = ("recipe.json", "history.csv", "weights.safetensors")  # metrics.json holds times


def content(folder: Path) -> dict[str, bytes]:
    """What two runs of a recipe have in common, as far as it is there."""
    return {name: (folder / name).read_bytes() for name in SAME if (folder / name).is_file()}


@dataclass(frozen=True)
class Stage:
    """Where the cases play."""

    root: Path
    older: Path  # an output folder with a finished run of OLDER
    expected: dict[str, bytes]  # RECIPE's files, uninterrupted
    seen: dict[str, int]  # how many events of each kind an uninterrupted run has
    seconds: float  # how long it takes

    def make_output(self, name: str) -> Path:
        """A fresh output folder, with the older run in it."""
        output = self.root / name
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(self.older, output)
        return output


def set_stage(root: Path) -> Stage:
    """Train the older run, then over it one of RECIPE that nothing happens to."""
    older, whole = root / "older", root / "whole"
    train(older, OLDER)
    shutil.copytree(older, whole)
    start = time.perf_counter()
    seen = train(whole, RECIPE).seen()
    seconds = time.perf_counter() - start
    return Stage(root, older, content(seed_folder(whole)), seen, seconds)


def train(output: Path, recipe: Recipe) -> Run:
    run = Run(output, recipe=recipe, resume=False)
    code = run.end()
    assert code == 0, run.said
    return run


def seed_folder(output: Path) -> Path:
    return run_folder(RECIPE, output)


def judge(stage: Stage, output: Path, struck: Run) -> str:
    """Resume what has been cut off, and compare: "recovered", "unharmed" if the run was finished before it was struck,
    or what is wrong."""
    folder = seed_folder(output)
    if struck.process.exitcode == 0:
        return "unharmed" if content(folder) == stage.expected else "it ended as if it were finished, and is not"
    places = [content(path) for path in (folder, folder.with_name("seed0.replaced"), running_folder(folder))]
    if content(seed_folder(stage.older)) not in places and stage.expected not in places:
        return "neither the older run nor the new one is whole"
    run = Run(output)
    if run.end() != 0:
        return f"it does not resume: {run.said}"
    told = struck.said.count("Epoch [")  # epochs that it said were finished
    if run.seen()["step"] > stage.seen["step"] * (RECIPE.epochs - told) // RECIPE.epochs:
        return f"{told} epochs were finished, and some of them trained again"
    if content(folder) != stage.expected:
        return "the resumed run is another than the uninterrupted one"
    if [path.name for path in folder.parent.iterdir() if not path.name.startswith(".")] != ["seed0"]:
        return "files were left behind"
    try:
        load_metrics(folder)
    except UserError as error:
        return str(error)
    shutil.rmtree(output)
    return "recovered"


def list_moments(stage: Stage, seed: int = 0, at_random: int = 12) -> list[tuple[Trap, float]]:
    """Every change on the disk, every file half written, some steps, every evaluation, and some times at random. With
    each the seconds after which the run is killed from outside, 0 where the trap does so."""
    draw = random.Random(seed)
    chosen = [(kind, k) for kind in ("file", "half", "evaluation") for k in range(1, stage.seen[kind] + 1)]
    chosen += [("step", k) for k in range(1, stage.seen["step"] + 1, 2)]
    times = [draw.uniform(0.05, stage.seconds) for _ in range(at_random)]
    return [(Trap(*moment), 0.0) for moment in chosen] + [(Trap("none"), after) for after in times]


def kill_and_resume(stage: Stage, moments: list[tuple[Trap, float]]) -> Tally:
    tally = Tally("killed (SIGKILL), then resumed")
    for trap, after in moments:
        output = stage.make_output("killed")
        run = Run(output, trap)
        if after:
            run.strike("SIGKILL", after)
        code = run.end()
        late = code == 0 and after > 0  # a time at random may come after the end
        expected = code == -signal.SIGKILL and not run.hung or late
        tally.note(
            judge(stage, output, run) if expected else f"it ended with {code}: {run.said}", f"{trap} {after:.2f}"
        )
    return tally


def stop_and_resume(stage: Stage, count: int, seed: int = 0) -> Tally:
    """SIGTERM and Ctrl-C in turn, at random times."""
    tally, draw = Tally("stopped (Ctrl-C, SIGTERM), then resumed"), random.Random(seed)
    for k in range(count):
        name, after = ("SIGINT", "SIGTERM")[k % 2], draw.uniform(0.05, 0.8 * stage.seconds)
        output = stage.make_output("stopped")
        run = Run(output)
        run.strike(name, after)
        code = run.end()
        promised = code == 130 and "continue with --resume" in run.said or code == 0
        clear = promised and "Traceback" not in run.said
        tally.note(judge(stage, output, run) if clear else f"exit code {code}: {run.said}", f"{name} {after:.2f}")
    return tally


def fill_the_disk(stage: Stage, limits: tuple[int, ...] = (1_500_000, 300, 2)) -> Tally:
    """Files may not grow beyond some bytes while a run goes on: first the checkpoint does not fit, then recipe.json,
    then not even the process's number. In place of a disk that is really full: mounting one takes rights."""
    tally = Tally("no space left")
    for limit in limits:
        output = stage.make_output("full")
        killed = Run(output, Trap("step", 4))  # in the second epoch: a checkpoint of the first is there
        killed.end()
        checkpoint = running_folder(seed_folder(output)) / "checkpoint.pt"
        before = checkpoint.read_bytes()
        run = Run(output, Trap("size", limit))
        code = run.end()
        if code != 2 or "free some space" not in run.said or "Traceback" in run.said:
            tally.note(f"exit code {code}: {run.said}", f"{limit} bytes")
        elif checkpoint.read_bytes() != before:
            tally.note("the old checkpoint is gone", f"{limit} bytes")
        elif list(checkpoint.parent.glob(".*.tmp")):
            tally.note("half a file was left behind", f"{limit} bytes")
        else:
            outcome = judge(stage, output, killed)
            tally.note("refused" if outcome == "recovered" else outcome, f"{limit} bytes")
    return tally


def write_where_nobody_can(stage: Stage) -> Tally:
    """Below a file, and in /proc: rights alone do not stop the administrator, as whom containers run."""
    tally = Tally("output that cannot be written")
    (stage.root / "file").write_text("no folder")
    for place in (stage.root / "file", stage.root / "file" / "deeper", Path("/proc/cifar100")):
        run = Run(place)
        code = run.end()
        clear = code == 2 and "cannot be written" in run.said and "Traceback" not in run.said
        tally.note("refused" if clear else f"exit code {code}: {run.said}", place.name)
    return tally


def train_twice_at_once(stage: Stage) -> Tally:
    """The second run of a folder is refused and told by whom; the first goes on."""
    tally = Tally("two runs in one folder")
    output = stage.make_output("twice")
    first = Run(output, recipe=replace(RECIPE, epochs=1000))
    first.wait_for("Epoch [1/")
    second = Run(output)
    code = second.end()
    named = f"Process {first.process.pid} is training" in second.said
    alive = first.process.is_alive()
    first.strike("SIGTERM", 0)
    stopped = first.end() == 130
    good = code == 2 and named and alive and stopped
    tally.note("refused" if good else f"exit code {code}: {second.said} / {first.said}")
    return tally
