"""Locking a run's folder, and replacing an older run when the new one is complete."""

import errno
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cifar100.errors import UserError
from cifar100.files import name_way_out
from cifar100.runs.find import RUN_FILES, has_weights, running_folder
from cifar100.runs.run import Run

if sys.platform != "win32":
    import fcntl

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # from Lustre, NFS and some network drives


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a run's folder. Raises UserError if another process has locked it or it is not writable. The lock file is
    not deleted, because a third process may already hold it."""
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)
    with clear_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except (Timeout, OSError, NotImplementedError) as error:  # without locks, filelock before 3.24 raises the last
            if not has_locks(Path(lock.lock_file)):
                print(f"The file system of {folder} has no locks: let only one process write there.", flush=True)
            elif isinstance(error, Timeout):
                raise UserError(f"Another process is writing {folder}: wait, or choose another --output.") from error
            else:
                raise
    try:
        yield
    finally:
        lock.release()


def has_locks(path: Path) -> bool:
    """Whether the file system supports locks."""
    if sys.platform == "win32":
        return True
    try:
        with open(path, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in NO_LOCKS
    return True


@contextmanager
def claim(folder: Path, resume: bool = False) -> Iterator[Path]:
    """Lock the run's folder, recover from a crash, and yield the folder beside it in which the run is trained.

    Raises UserError as `locked` does, if there is an unfinished run and `resume` is False, and if a run that should be
    complete is not.
    """
    running = running_folder(folder)
    with locked(folder):
        with clear_errors(folder):
            recover(folder)
            running.mkdir(exist_ok=True)
        if (running / "checkpoint.pt").exists() and not resume:
            raise UserError(f"{running} holds an unfinished run: continue it with --resume, or delete that folder.")
        try:
            yield running
        finally:
            if not any((running / name).exists() for name in ("checkpoint.pt", "metrics.json")):
                shutil.rmtree(running, ignore_errors=True)  # there is nothing to keep


def replaced_folder(folder: Path) -> Path:
    """The folder of the older run while the new one replaces it."""
    return folder.with_name(folder.name + ".replaced")


def recover(folder: Path) -> None:
    """Undo an interrupted replacement, then repeat it if the new run is complete."""
    if replaced_folder(folder).exists() and not folder.exists():
        replaced_folder(folder).rename(folder)
    if (running_folder(folder) / "metrics.json").exists():
        take_place(folder)
    shutil.rmtree(replaced_folder(folder), ignore_errors=True)


def take_place(folder: Path) -> None:
    """Move the complete new run to its final folder, replacing an older run. Raises UserError if it is not complete
    or is damaged; then nothing changes."""
    running, replaced = running_folder(folder), replaced_folder(folder)
    run = Run.load(running)
    right = folder.name == f"seed{run.recipe.seed}" and run.recipe.name in folder.parts[-3:-1]
    if not has_weights(running) or not right:
        raise UserError(f"{running} is incomplete, or does not match its metrics.json: delete that folder.")
    with clear_errors(folder):
        for path in running.iterdir():
            if path.name not in RUN_FILES:  # the checkpoint, and temporary files of a crash
                path.unlink()
        if folder.exists():
            folder.rename(replaced)
        running.rename(folder)
        shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def clear_errors(folder: Path) -> Iterator[None]:
    """Raises UserError instead of an OSError about the run's folders."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error}): {name_way_out(error)}, or choose another "
            "--output; finished epochs are kept."
        ) from error
