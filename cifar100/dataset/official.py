"""The official files of CIFAR-100: where they are, and how to know them."""

import hashlib
from pathlib import Path

from cifar100.errors import UserError

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
MOST_BYTES = 200_000_000  # that are read of a file: the largest official one has 169 million
CHECKSUMS = {  # of the official files
    "cifar-100-binary/train.bin": ("sha1", "e207cd2e05b73b1393c74c7f5e7bea451d63e08e"),
    "cifar-100-binary/test.bin": ("sha1", "8fb6623e830365ff53cf14adec797474f5478006"),
    "cifar-100-python/train": ("md5", "16019d7e3df5f24257cddd939b257f8d"),
    "cifar-100-python/test": ("md5", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
    "cifar-100-binary.tar.gz": ("md5", "03b5dce01913d631647c71ecec9e9cb8"),
    "cifar-100-python.tar.gz": ("md5", "eb9058c3a382ffc7106e4002c42a8d85"),
}
WAYS_OUT = (
    f"Give the folder that holds it (--data FOLDER, or CIFAR100_DATA=FOLDER), or download {URL} by hand "
    "into ./data, or try everything on the embedded sample with CIFAR100_DATA=sample."
)


def is_official(name: str, content: bytes) -> bool:
    """Whether this is the content of the official file of that name in CHECKSUMS."""
    algorithm, expected = CHECKSUMS[name]
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() == expected


def read_checked(path: Path, name: str) -> bytes:
    """The content of an official file. Raises UserError if its checksum is another one."""
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES)
        size = f"{path.stat().st_size:,} bytes"
    except OSError as error:
        raise UserError(f"The data file {path} cannot be read ({error.strerror}): make it readable.") from error
    if not is_official(name, content):
        raise UserError(
            f"The data file {path} ({size}) is not the official one, its {CHECKSUMS[name][0].upper()} differs: "
            f"delete it and fetch it again. {WAYS_OUT}"
        )
    return content
