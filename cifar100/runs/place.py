"""How a run holds its place against others, and takes it when it is complete."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cifar100.errors import UserError
from cifar100.files import name_way_out, sync_folder, write_text
from cifar100.runs.find import RUN_FILES, running_folder


@contextmanager
def claim(folder: Path) -> Iterator[Path]:
    """Hold the run's place against a second process and yield the folder in which it grows.

    Puts right what a crash has left first. Raises UserError if the place is taken, or cannot be
    written.
    """
    running = running_folder(folder)
    # The lock file stays behind: who deletes it might delete the one that a third process holds.
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)
    try:
        with clear_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout as error:
        raise UserError(
            f"Process {read_holder(running)} is training {folder} right now: wait, or choose another --output."
        ) from error
    try:
        with clear_errors(folder):
            recover(folder)
            running.mkdir(exist_ok=True)
            write_text(running / "pid", str(os.getpid()))
        yield running
    finally:
        if not (running / "checkpoint.pt").exists() and not (running / "metrics.json").exists():
            shutil.rmtree(running, ignore_errors=True)  # nothing in it is worth keeping
        lock.release()


def read_holder(running: Path) -> str:
    """The number of the process that holds the place; "?" while it starts or ends."""
    try:
        return (running / "pid").read_text()
    except OSError:
        return "?"


@contextmanager
def clear_errors(folder: Path) -> Iterator[None]:
    """Raises UserError in place of an OSError about the run's folders."""
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error}): {name_way_out(error)}, close it elsewhere, or choose another "
            "--output; what was finished is kept."
        ) from error


def recover(folder: Path) -> None:
    """Finish a replacement that was cut off: forwards where the new run is complete, else back."""
    running, replaced = running_folder(folder), folder.with_name(folder.name + ".replaced")
    if (running / "metrics.json").is_file():
        publish(folder)
    elif replaced.exists() and not folder.exists():
        replaced.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def publish(folder: Path) -> None:
    """Let the complete run that grew beside it take the folder's place."""
    running, replaced = running_folder(folder), folder.with_name(folder.name + ".replaced")
    with clear_errors(folder):
        for path in running.iterdir():
            if path.name not in RUN_FILES:  # checkpoint, process number, what a crash left half-written
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            folder.rename(replaced)
        running.rename(folder)
        sync_folder(folder.parent)  # before the older run goes for good
        shutil.rmtree(replaced, ignore_errors=True)
