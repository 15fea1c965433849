"""Training runs in processes of their own, which may be killed anywhere.

They are forked from a process that has imported torch already: a run of three epochs then takes a second or two.
"""

import functools
import multiprocessing
import os
import resource
import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.dataset.sample import make_sample
from cifar100.recipes import SMOKE

RECIPE = replace(SMOKE, epochs=3, batch_size=24)  # on 48 images: six steps in all
OLDER = replace(RECIPE, lr=0.02)  # whose finished run lies where RECIPE's is to go
WRITES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree")  # audit events; os.replace is os.rename
DELETIONS = ("os.remove", "os.rmdir")  # whose second argument is a folder's descriptor, -1 without one
KINDS = ("file", "half", "rename", "step", "evaluation")  # of events at which a run can be killed
SECONDS = 300  # after which a run counts as one that hangs


@functools.cache
def few() -> dict[str, Images]:
    """Pictures of the embedded sample: 48 to train on, 40 to evaluate on."""
    sample = make_sample(COARSE_OF_FINE, "test")
    images = Images(sample.images, sample.fine, sample.coarse)
    return {"train": images.take(np.arange(48)), "test": images.take(np.arange(48, 88))}


@dataclass(frozen=True)
class Trap:
    """What happens to a run, and when."""

    kind: str  # one of KINDS: killed at that event; "size": files have a limit; "none"
    count: int = 0  # which event of its kind, from 1; with "size" the limit in bytes

    def __str__(self) -> str:
        what = {"file": "before change {} on the disk", "half": "with file {} half written", "step": "in step {}"}
        what |= {"rename": "before folder {} is renamed", "evaluation": "in evaluation {}"}
        what |= {"size": "with files limited to {} bytes", "none": "at some time"}
        return what[self.kind].format(self.count)


class Counter:
    """Counts the events of the trap's kind in this process, and ends it at the one that the trap names."""

    def __init__(self, trap: Trap, output: str):
        self.trap, self.output = trap, output
        self.seen = dict.fromkeys(KINDS, 0)

    def count(self, kind: str) -> bool:
        """Whether this is the moment; all kinds die here, but for "half", which has something to do first."""
        self.seen[kind] += 1
        if self.trap != Trap(kind, self.seen[kind]):
            return False
        if kind != "half":
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def audit(self, event: str, arguments: tuple) -> None:
        """Every change on the disk, as Python announces it, before it happens. shutil.rmtree names what it deletes
        from its folder, so any deletion of that form counts: nothing else in a run makes one."""
        if event == "open":
            path, mode, flags = arguments
            writes = set(mode or "") & set("wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            path, writes = arguments[0] if arguments else "", event in WRITES
        relative = event in DELETIONS and arguments[1] != -1
        if relative or writes and str(path).startswith(self.output):
            self.count("file")
            if event == "os.rename" and os.path.isdir(path):
                self.count("rename")

    def watch(self) -> None:
        """Put the trap up."""
        from cifar100.training import fit as train
        from cifar100.training import trainer

        def counted(kind, function):
            def call(*arguments, **named):
                self.count(kind)
                return function(*arguments, **named)

            return call

        def half_written(descriptor, original=os.fsync):
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and self.count("half"):
                os.truncate(descriptor, status.st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            original(descriptor)

        trainer.train_step = counted("step", trainer.train_step)
        train.evaluate = counted("evaluation", train.evaluate)
        os.fsync = half_written
        sys.addaudithook(self.audit)
        if self.trap.kind == "size":
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.trap.count, resource.RLIM_INFINITY))


def child(writer: Connection, output: str, arguments: list[str], trap: Trap) -> None:
    """The command line in a process of its own, on few pictures. What it says goes into the pipe."""
    for stream in (1, 2):
        os.dup2(writer.fileno(), stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
    import torch

    from cifar100.__main__ import main
    from cifar100.dataset import cifar as data

    torch.set_num_threads(1)
    data.load_split = lambda split, folder=None: few()[split]
    counter = Counter(trap, output)
    counter.watch()
    code = main(arguments)
    print("seen", *counter.seen.values(), flush=True)
    sys.exit(code)


def fork(target: Callable, *arguments) -> tuple[BaseProcess, Connection]:
    """A process that calls target(writer, *arguments), and the end of the pipe at which one reads what is written."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.warm"])
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(writer, *arguments))
    process.start()
    writer.close()
    return process, reader


class Run:
    """`python -m cifar100 train` of RECIPE, or of a change of it, as a process."""

    def __init__(self, output: Path, trap: Trap = Trap("none"), recipe=RECIPE, resume: bool = True):
        settings = {"epochs": recipe.epochs, "batch-size": recipe.batch_size, "lr": recipe.lr}
        arguments = ["train", "smoke", "--data", "elsewhere", "--device", "cpu", "--output", str(output)]
        arguments += [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        arguments += ["--resume"] * resume
        self.process, self.reader = fork(child, str(output), arguments, trap)
        self.said, self.hung = "", False

    def wait_for(self, text: str) -> bool:
        """Read until it has said this, or ended. Returns whether it has said so."""
        while text not in self.said:
            if not self.reader.poll(SECONDS):
                return False
            part = os.read(self.reader.fileno(), 65536).decode(errors="replace")
            if not part:
                return False
            self.said += part
        return True

    def end(self) -> int:
        """Wait for its end. Returns the exit code, minus a signal's number if one has ended it."""
        self.wait_for("\0")  # which it never says: to the end
        self.process.join(SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            self.hung = True  # the exit code is that of a run that was killed on purpose
            self.said += "it hung"
        self.reader.close()
        return self.process.exitcode

    def seen(self) -> dict[str, int]:
        """How many events of each kind it had, once it has ended by itself."""
        return dict(zip(KINDS, map(int, self.said.rpartition("seen ")[2].split())))

    def strike(self, name: str, after: float) -> None:
        """Send it a signal so many seconds after it has begun."""
        if self.wait_for("seed 0:"):
            time.sleep(after)
            if self.process.is_alive():
                os.kill(self.process.pid, getattr(signal, name))
