"""Files that are written whole or not at all, and read with a clear word where they are damaged."""

import csv
import errno
import io
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from cifar100.errors import UserError

ROOT = Path(__file__).resolve().parents[1]  # of the project
MOST_BYTES = 100_000_000  # of a file that is read in one piece; weights and checkpoints excepted
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, a quota, a limit on the size of files


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and for good: when this returns, a loss of power does not take it. Makes its
    folder. Raises UserError if the disk is full or not writable, or if there is something of that name that is no file;
    the older file of that name stays."""
    check_target(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # of this process: two may write one file
    left = "what was there before is kept"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_if_there(temporary)  # what a crash has left; a link is not followed
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        left = "it is there now, but may be lost when the power goes"
        sync_folder(path.parent)
    except OSError as error:
        remove_if_there(temporary)
        raise UserError(
            f"{path} could not be written ({error.strerror}, {len(content) / 1e6:.1f} MB): {name_way_out(error)}; "
            f"{left}."
        ) from error


def check_target(path: Path) -> None:
    """Raises UserError if a folder, a device or a pipe has this name: to put a file into its place would end it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # there is nothing, or nothing that can be reached: to be said when it is written
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe, which a file would replace"
        raise UserError(f"{str(path)!r} is {kind}: name a file.")


def check_writable(path: Path) -> None:
    """Raises UserError if a file could not be written there: for what computes long before it writes. Makes nothing."""
    check_target(path)
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written: name another place, since {folder} is no folder to write in.")


def name_way_out(error: OSError) -> str:
    """What the user can do about something that could not be written."""
    return "free some space on its disk" if error.errno in FULL else "make its folder writable"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last. Where the system has no such thing (Windows, some network drives), nothing."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in FULL:
            raise
    finally:
        os.close(descriptor)


def remove_if_there(path: Path) -> None:
    """Delete a file, if that is possible."""
    try:
        path.unlink(missing_ok=True)
    except OSError:  # its folder is gone, no folder, or not writable: the error that led here says so
        pass


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def save_table(path: Path, names: Iterable[str], rows: Iterable[Iterable]) -> None:
    """Write a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def check_regular(path: Path) -> None:
    """Raises OSError if there is no such file, or none that ends: a pipe waits for its writer, a device goes on."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a file. Raises OSError as `check_regular` does, and if it has more bytes than `most`."""
    check_regular(path)
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most / 1e6:.0f} MB", str(path))
    return content


def load_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file that `save_table` wrote. Raises OSError as `read_regular` does, and ValueError if it is no
    table."""
    try:
        return list(csv.DictReader(io.StringIO(read_regular(path).decode(), newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def load_json(path: Path) -> dict:
    """The object in a JSON file. Raises UserError if it is missing, damaged, or holds NaN or Infinity."""
    try:
        content = json.loads(read_regular(path).decode(), parse_constant=refuse_constant)
        if not isinstance(content, dict):
            raise ValueError("no object")
        return content
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}: this is not a finished run.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or train the run again.") from error


def refuse_constant(name: str):
    """What json.loads calls for the numbers that JSON does not have."""
    raise ValueError(f"{name} is no number")
