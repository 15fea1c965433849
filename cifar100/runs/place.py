"""How a run holds its place against others, and takes it when it is complete."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cifar100.errors import UserError
from cifar100.files import name_way_out, read_regular, sync_folder, write_text
from cifar100.runs.find import RUN_FILES, running_folder
from cifar100.runs.run import Run


@contextmanager
def claim(folder: Path, output: str | Path = "output") -> Iterator[Path]:
    """Hold the run's place, below `output`, against a second process and yield the folder in which it grows.

    Puts right what a crash has left first. Raises UserError if the place is taken, cannot be written, or holds
    anything but plain folders and files.
    """
    running = running_folder(folder)
    # The lock file stays behind: who deletes it might delete the one that a third process holds.
    lock = FileLock(lock_file(folder), timeout=0)
    try:
        with clear_errors(folder):
            check_place(folder, Path(output))
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
            clear_away(running)
            write_text(running / "pid", str(os.getpid()))
        yield running
    finally:
        if not (running / "checkpoint.pt").exists() and not (running / "metrics.json").exists():
            shutil.rmtree(running, ignore_errors=True)  # nothing in it is worth keeping
        lock.release()


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a finished run's place for a moment, to change its files. Raises UserError if it is taken, or cannot be
    written."""
    lock = FileLock(lock_file(folder), timeout=0)
    try:
        with clear_errors(folder):
            lock.acquire()
    except Timeout as error:
        raise UserError(
            f"Process {read_holder(running_folder(folder))} is training {folder} right now: try again when it has "
            "finished."
        ) from error
    try:
        yield
    finally:
        lock.release()


def lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def replaced_folder(folder: Path) -> Path:
    """Where the older run lies while the new one takes its place."""
    return folder.with_name(folder.name + ".replaced")


def check_place(folder: Path, output: Path) -> None:
    """Raises UserError if anything of the run's place is a link, a pipe or a device: what is changed or deleted behind
    a link lies outside `output`. `output` itself may be a link."""
    above = [path for path in folder.parents if output in path.parents]
    for path in (*above, folder, running_folder(folder), replaced_folder(folder), lock_file(folder)):
        right = stat.S_ISREG if path == lock_file(folder) else stat.S_ISDIR
        if os.path.lexists(path) and not right(os.lstat(path).st_mode):
            kind = "a link" if path.is_symlink() else "not the plain file or folder that it should be"
            raise UserError(f"{path} is {kind}: remove it, or choose another --output; nothing was changed.")


def read_holder(running: Path) -> str:
    """The number of the process that holds the place; "?" while it starts or ends."""
    try:
        return read_regular(running / "pid", 20).decode()
    except (OSError, ValueError):
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


def clear_away(running: Path) -> None:
    """Remove the links, pipes and devices where this run will write: what a link leads to stays. A checkpoint is left
    to its reader."""
    for path in running.iterdir():
        if path.name != "checkpoint.pt" and stat.S_IFMT(os.lstat(path).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            path.unlink()


def recover(folder: Path) -> None:
    """Finish a replacement that was cut off: back first, then forwards where the new run is complete. Raises UserError
    if it says that it is complete and is not."""
    replaced = replaced_folder(folder)
    if replaced.exists() and not folder.exists():
        replaced.rename(folder)
    if os.path.lexists(running_folder(folder) / "metrics.json"):
        take_place(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def take_place(folder: Path) -> None:
    """Let the complete run that grew beside it take the folder's place. Raises UserError if it is not complete, or
    damaged; then nothing is changed."""
    running, replaced = running_folder(folder), replaced_folder(folder)
    check_complete(folder)
    with clear_errors(folder):
        for path in running.iterdir():
            if path.name not in RUN_FILES:  # checkpoint, process number, what a crash left half-written
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            folder.rename(replaced)
        running.rename(folder)
        sync_folder(folder.parent)  # before the older run goes for good
        shutil.rmtree(replaced, ignore_errors=True)


def check_complete(folder: Path) -> None:
    """Raises UserError unless a whole run, of this recipe and seed, has grown beside the folder."""
    running = running_folder(folder)
    try:
        for name in RUN_FILES:
            path = running / name
            if not path.is_file() or path.is_symlink():
                raise UserError(f"{path} is no file of a run.")
        recipe = Run.load(running).recipe
        if f"seed{recipe.seed}" != folder.name or recipe.name not in folder.parts[-3:-1]:
            raise UserError(f"{running} holds seed {recipe.seed} of {recipe.name}.")
    except UserError as error:
        raise UserError(
            f"{running} holds a metrics.json, but no finished run (" + str(error).partition(": ")[0].rstrip(".") + "): "
            "delete that file and say --resume, or delete the folder; a finished run beside it is kept."
        ) from error
