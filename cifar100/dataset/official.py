"""The official files of CIFAR-100, known by their checksums and never by their names alone."""

import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cifar100.errors import UserError

RECORD_BYTES = 2 + 3 * 32 * 32  # coarse label, fine label, planar RGB


class OfficialFile(NamedTuple):
    name: str
    size: int  # bytes
    algorithm: str  # of the checksum
    checksum: str


OFFICIAL = (  # in the order in which they are preferred
    OfficialFile("cifar-100-binary/train.bin", 153_700_000, "sha1", "e207cd2e05b73b1393c74c7f5e7bea451d63e08e"),
    OfficialFile("cifar-100-binary/test.bin", 30_740_000, "sha1", "8fb6623e830365ff53cf14adec797474f5478006"),
    OfficialFile("cifar-100-python/train", 155_249_918, "md5", "16019d7e3df5f24257cddd939b257f8d"),
    OfficialFile("cifar-100-python/test", 31_049_707, "md5", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
    OfficialFile("cifar-100-binary.tar.gz", 168_513_733, "md5", "03b5dce01913d631647c71ecec9e9cb8"),
    OfficialFile("cifar-100-python.tar.gz", 169_001_437, "md5", "eb9058c3a382ffc7106e4002c42a8d85"),
)

WAYS_OUT = (
    "Give the folder that holds it (--data FOLDER, or CIFAR100_DATA=FOLDER), or download "
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz by hand into ./data, or try everything on the embedded "
    "sample with CIFAR100_DATA=sample."
)


def has_checksum(official: OfficialFile, content: bytes) -> bool:
    """Whether this is the content of that official file."""
    return hashlib.new(official.algorithm, content, usedforsecurity=False).hexdigest() == official.checksum


def find_candidates(split: str, folder: Path) -> list[Path]:
    """The files in a folder, or one level below, that may hold a split by their size, whatever they are called. Raises
    UserError if the folder cannot be read."""
    try:
        here = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"The data folder {folder} cannot be read ({error.strerror}): make it readable.") from error
    below = [path for sub in here for path in sorted(sub.glob("*"))]
    files = [(path, path.stat().st_size) for path in (*here, *below) if os.path.isfile(path)]
    wanted = [o.size for o in OFFICIAL if o.name.endswith(".tar.gz") or Path(o.name).stem == split]
    return [path for right in wanted for path, size in files if size == right]


def read_official(path: Path) -> dict[str, np.ndarray]:
    """The splits in a file by name, each (N, 3074) uint8 in the records of the binary layout; none if it is not one of
    the official files. Raises UserError if it cannot be read."""
    try:
        size = path.stat().st_size
        known = [official for official in OFFICIAL if official.size == size]
        content = path.read_bytes() if known else b""
    except OSError as error:
        raise UserError(f"The data file {path} cannot be read ({error.strerror}): make it readable.") from error
    name = next((official.name for official in known if has_checksum(official, content)), None)
    return parse(name, content) if name else {}


def parse(name: str, content: bytes) -> dict[str, np.ndarray]:
    """The splits in the content of the official file of that name, whose checksum has been compared."""
    if name.endswith(".tar.gz"):
        members = [o.name for o in OFFICIAL if o.name.startswith(name.removesuffix(".tar.gz") + "/")]
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:  # read in memory: nothing is unpacked
            parts = [parse(member, archive.extractfile(member).read()) for member in members]
        return {split: records for part in parts for split, records in part.items()}
    if name.endswith(".bin"):
        return {Path(name).stem: np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)}
    # A pickle may run any code: this one is opened only because its checksum, or its archive's, is the official one.
    columns = pickle.loads(content, encoding="bytes")
    labels = (np.uint8(columns[key]) for key in (b"coarse_labels", b"fine_labels"))
    return {name.rpartition("/")[2]: np.column_stack((*labels, columns[b"data"]))}
