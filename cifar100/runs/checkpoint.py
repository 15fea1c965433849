"""The checkpoint of a run that grows: all that is needed to go on after an interruption."""

import hashlib
import io
import zipfile
from pathlib import Path

import torch

from cifar100.errors import UserError
from cifar100.files import check_regular, write_bytes
from cifar100.recipe import Recipe

SEAL = b"sha256 "  # of a checkpoint: this and a digest in hexadecimal, as the comment that ends its zip archive
SEAL_BYTES = len(SEAL) + 64


def save_checkpoint(path: Path, state: dict) -> None:
    """Write a plain dict of tensors, numbers and strings, whole or not at all."""
    buffer = io.BytesIO()  # first in memory: a full disk then meets one write of known size
    torch.save(state, buffer)
    write_bytes(path, seal(buffer.getvalue()))


def seal(archive: bytes) -> bytes:
    """A zip archive with its checksum as its comment. torch does not compare those that zip has: a bit that flips on
    the disk would go on into the training."""
    content = archive[:-2]  # the last two bytes are the length of the comment, 0 as torch writes it
    return content + SEAL_BYTES.to_bytes(2, "little") + SEAL + hashlib.sha256(content).hexdigest().encode()


def load_checkpoint(path: Path, recipe: Recipe) -> dict:
    """Raises UserError if the file is damaged, holds anything but plain data, or belongs to
    another recipe."""
    try:
        check_regular(path)
        content = path.read_bytes()
        if seal(content[:-SEAL_BYTES]) != content:
            raise ValueError("another checksum")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # torch packs nothing, and so has no bombs
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is packed")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        theirs = dict(state["recipe"])
    except (OSError, MemoryError) as error:
        raise UserError(f"The checkpoint {path} could not be read ({error}): try again.") from error
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        raise UserError(f"The checkpoint {path} is damaged: delete its folder and train again.") from error
    ours = recipe.to_dict()
    # How the weights will be saved changes nothing in their training.
    changed = [name for name in ours if name != "weights_precision" and theirs.get(name) != ours[name]]
    if changed:
        difference = ", ".join(f"{name} {theirs.get(name)!r} there, {ours[name]!r} here" for name in changed)
        raise UserError(
            f"The checkpoint {path} is from another recipe ({difference}): resume with its settings, or delete its "
            "folder."
        )
    return state
