"""Files are written whole or not at all; reading a damaged one is a clear error."""

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
MOST_BYTES = 100_000_000  # largest file that `read_regular` reads
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, quota reached, file too large


def user_path(text: str | Path) -> Path:
    """A path from the user as an absolute path: without surrounding quotes and blanks, `~` expanded. Call it before
    anything changes the working directory."""
    return Path(os.path.expanduser(strip_quotes(text))).absolute()


def strip_quotes(text: str | Path | None) -> str:
    """The text without surrounding blanks and quotes: `%env X="my data"` in a notebook keeps the quotes."""
    text = str(text or "").strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and create its folder. Raises UserError if the disk is full or not writable, or
    if the path is not a regular file; an older file then stays as it was."""
    check_target(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # two processes may write the same file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # left by a crash; a link is not followed
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        problem = f"{path} could not be written ({error.strerror})"
        raise UserError(f"{problem}: {name_way_out(error)}; an older file there is kept.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # of a failure or an interrupt; there is none after a success


def check_target(path: Path) -> None:
    """Raises UserError if the path is a folder, a device or a pipe, which writing a file would replace."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"{str(path)!r} is {'a folder' if path.is_dir() else 'a device or a pipe'}: name a file.")


def check_writable(path: Path) -> None:
    """Raises UserError if a file cannot be written there. For checking before a long computation."""
    check_target(path)
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written because {folder} is not a writable folder: choose another path.")


def name_way_out(error: OSError) -> str:
    """What the user can do about a file that could not be written."""
    return "free some space on its disk" if error.errno in FULL else "make its folder writable, or close it elsewhere"


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
    """Raises OSError if the path is not a regular file. Reading a pipe or a device might never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """A file's content. Raises OSError if it is not a regular file or has more than `most` bytes."""
    check_regular(path)
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def load_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file. Raises OSError as `read_regular` does, and ValueError if it is not a table."""
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
        raise UserError(f"{path} cannot be read ({error}): restore it.") from error
    return content
