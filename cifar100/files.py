"""Files that are written whole or not at all, and read with a clear word where they are damaged."""

import json
import os
from pathlib import Path

from cifar100.errors import UserError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises UserError if the disk is full or not writable; the
    older file of that name stays."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(
            f"{path} could not be written ({error.strerror}, {len(content) / 1e6:.1f} MB): free some space; "
            "what was there before is kept."
        ) from error


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def load_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no object")
        return content
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}: this is not a finished run.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or train the run again.") from error
