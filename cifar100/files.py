"""Files that are written whole or not at all, and read with a clear word where they are damaged."""

import csv
import errno
import io
import json
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cifar100.errors import UserError

ROOT = Path(__file__).resolve().parents[1]  # of the project
MOST_BYTES = 100_000_000  # of a file that is read in one piece; weights and checkpoints excepted
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, a quota, a limit on the size of files


def user_path(text: str | Path) -> Path:
    """A path that a user has given: without quotes and blanks around it, `~` expanded, absolute. To be called where the
    path is taken in, before anything changes the working directory."""
    return Path(os.path.expanduser(strip_quotes(text))).absolute()


def strip_quotes(text: str | Path | None) -> str:
    """What is left without blanks, and a pair of quotes, around it: `%env X="my data"` in a notebook keeps them."""
    text = str(text or "").strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and make its folder. Raises UserError if the disk is full or not writable, or
    if something of that name is no file; the older file of that name stays."""
    check_target(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # of this process: two may write one file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # what a crash has left; a link is not followed
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        problem = f"{path} could not be written ({error.strerror})"
        raise UserError(f"{problem}: {name_way_out(error)}; what was there before is kept.") from error


def check_target(path: Path) -> None:
    """Raises UserError if a folder, a device or a pipe has this name: to put a file into its place would end it."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"{str(path)!r} is {'a folder' if path.is_dir() else 'a device or a pipe'}: name a file.")


def check_writable(path: Path) -> None:
    """Raises UserError if a file could not be written there: for what computes long before it writes."""
    check_target(path)
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written: name another place, since {folder} is no folder to write in.")


def name_way_out(error: OSError) -> str:
    """What the user can do about something that could not be written."""
    return "free some space on its disk" if error.errno in FULL else "make its folder writable"


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
    """A file's content. Raises OSError as `check_regular` does, and if it has more than `most` bytes."""
    check_regular(path)
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def load_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file. Raises OSError as `read_regular` does, and ValueError if it is no table."""
    try:
        return list(csv.DictReader(io.StringIO(read_regular(path).decode(), newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def load_json(path: Path) -> dict:
    """The object in a JSON file. Raises UserError if it is missing or damaged."""
    try:
        content = json.loads(read_regular(path).decode())
        if not isinstance(content, dict):
            raise ValueError("no object")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it, or train the run again.") from error
    return content
