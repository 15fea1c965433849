"""The official files of CIFAR-100: recognised by their checksums, not their names, and downloaded if necessary."""

import hashlib
import io
import os
import pickle
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import numpy as np

from cifar100.errors import UserError, brief
from cifar100.files import FULL, name_way_out, write_bytes

REPOSITORY = "uoft-cs/cifar100"  # on the Hugging Face Hub, one Parquet file per split
ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"  # by the authors
SILENCE = 30.0  # seconds to wait for their server
WAYS_OUT = (
    "Specify the folder with the data (--data FOLDER, or CIFAR100_DATA=FOLDER), or download "
    f"{ARCHIVE} by hand into ./data, or use the synthetic sample with CIFAR100_DATA=sample."
)


@dataclass(frozen=True)
class Images:
    """One split. images: (N, 32, 32, 3) uint8 RGB; fine: (N,) int64, 0..99; coarse: (N,) int64, 0..19; masks:
    (N, 32, 32) bool, True on the object, only in the embedded sample."""

    images: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: np.ndarray) -> "Images":
        return Images(self.images[indices], self.fine[indices], self.coarse[indices])


class OfficialFile(NamedTuple):
    name: str
    size: int  # bytes
    algorithm: str  # of the checksum
    checksum: str

    def matches(self, content: bytes) -> bool:
        if len(content) != self.size:
            return False
        return hashlib.new(self.algorithm, content, usedforsecurity=False).hexdigest() == self.checksum


OFFICIAL = (  # in order of preference
    OfficialFile("cifar-100-binary/train.bin", 153_700_000, "sha1", "e207cd2e05b73b1393c74c7f5e7bea451d63e08e"),
    OfficialFile("cifar-100-binary/test.bin", 30_740_000, "sha1", "8fb6623e830365ff53cf14adec797474f5478006"),
    OfficialFile("cifar-100-python/train", 155_249_918, "md5", "16019d7e3df5f24257cddd939b257f8d"),
    OfficialFile("cifar-100-python/test", 31_049_707, "md5", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
    OfficialFile("cifar-100-binary.tar.gz", 168_513_733, "md5", "03b5dce01913d631647c71ecec9e9cb8"),
    OfficialFile("cifar-100-python.tar.gz", 169_001_437, "md5", "eb9058c3a382ffc7106e4002c42a8d85"),
)


def find_candidates(split: str, folder: Path) -> list[Path]:
    """The files in a folder, or one level below, whose size fits a file with this split."""
    here = sorted(folder.iterdir())
    below = [path for sub in here for path in sorted(sub.glob("*"))]
    files = [(path, path.stat().st_size) for path in (*here, *below) if os.path.isfile(path)]
    wanted = [o.size for o in OFFICIAL if o.name.endswith(".tar.gz") or Path(o.name).stem == split]
    return [path for right in wanted for path, size in files if size == right]


def read_official(content: bytes) -> dict[str, Images]:
    """The splits in a file's content, by name; empty if it is not an official file."""
    official = next((official for official in OFFICIAL if official.matches(content)), None)
    if official is None:
        return {}
    if official.name.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:  # read in memory, not unpacked to the disk
            parts = [read_official(archive.extractfile(member).read()) for member in archive if member.isfile()]
        return {split: images for part in parts for split, images in part.items()}
    if official.name.endswith(".bin"):  # records of coarse label, fine label and planar RGB
        records = np.frombuffer(content, np.uint8).reshape(-1, 2 + 3 * 32 * 32)
        pixels, fine, coarse = records[:, 2:], records[:, 1], records[:, 0]
    else:  # a pickle can run any code: it is loaded only because its checksum is the official one
        columns = pickle.loads(content, encoding="bytes")
        pixels, fine, coarse = (np.array(columns[key]) for key in (b"data", b"fine_labels", b"coarse_labels"))
    images = np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return {Path(official.name).stem: Images(images, fine.astype(np.int64), coarse.astype(np.int64))}


def download(folder: Path) -> None:
    """Download train.bin and test.bin into `folder`/cifar-100-binary from the Hub, or else the authors' archive into
    `folder`. Raises UserError if neither source has the official files, or if the disk is full."""
    failures = []
    for source, fetch in ((f"the Hugging Face Hub ({REPOSITORY})", fetch_from_hub), (ARCHIVE, fetch_archive)):
        print(f"Downloading CIFAR-100 from {source}.", file=sys.stderr, flush=True)
        try:
            contents = fetch()
            if not all(official.matches(contents[official.name]) for official in OFFICIAL if official.name in contents):
                raise ValueError("its images are not the official ones")
        except Exception as error:  # each library raises its own kinds
            if isinstance(error, OSError) and error.errno in FULL:
                raise UserError(f"CIFAR-100 could not be downloaded ({error}): {name_way_out(error)}.") from error
            failures.append(f"{source}: {brief(error)}")
            continue
        for name, content in contents.items():  # the large file first: on a full disk nothing is written
            write_bytes(folder / name, content)
        return
    raise UserError(f"CIFAR-100 could not be downloaded from either source ({'; '.join(failures)}). {WAYS_OUT}")


def fetch_archive() -> dict[str, bytes]:
    """The authors' archive by its name."""
    with urlopen(ARCHIVE, timeout=SILENCE) as answer:
        return {ARCHIVE.rpartition("/")[2]: answer.read()}


def fetch_from_hub() -> dict[str, bytes]:
    """The binary files by name, from the Hub's columns `img` (PNG), `fine_label` and `coarse_label`."""
    from huggingface_hub import hf_hub_download
    from PIL import Image
    from pyarrow import parquet
    from tqdm import tqdm  # a text bar: the Hub's own leaves widgets in a notebook, which GitHub does not render

    options = {"repo_type": "dataset", "tqdm_class": tqdm}
    options["endpoint"] = os.environ.get("HF_ENDPOINT")  # the library reads it only when it is imported
    contents = {}
    for split in ("train", "test"):
        with tempfile.TemporaryDirectory() as folder:
            name = f"cifar100/{split}-00000-of-00001.parquet"
            file = hf_hub_download(REPOSITORY, name, local_dir=folder, **options)
            rows = parquet.read_table(file, columns=["img", "fine_label", "coarse_label"]).to_pylist()
        records = []
        for row in rows:
            with Image.open(io.BytesIO(row["img"]["bytes"]), formats=["PNG"]) as image:
                pixels = np.asarray(image.convert("RGB"))
            records.append(bytes((row["coarse_label"], row["fine_label"])) + pixels.transpose(2, 0, 1).tobytes())
        contents[f"cifar-100-binary/{split}.bin"] = b"".join(records)
    return contents
