"""Download CIFAR-100 as the official binary files, from the Hugging Face hub or else from its authors' server."""

import io
import os
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np

from cifar100.dataset.official import OFFICIAL, WAYS_OUT, has_checksum, read_official
from cifar100.errors import UserError, brief
from cifar100.files import FULL, name_way_out, write_bytes

BINARY = {split: next(o for o in OFFICIAL if o.name.endswith(f"/{split}.bin")) for split in ("train", "test")}
REPOSITORY = "uoft-cs/cifar100"  # on the hub: one Parquet file a split
ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"  # 50 to 85 kB/s (pytorch/vision issue 9536)
SILENCE = 20.0  # seconds without a byte that count as a broken connection


def download(folder: Path) -> None:
    """Write the official `train.bin` and `test.bin` into `folder`/cifar-100-binary.

    A file gets its name when its SHA-1 is right. Raises UserError if no source has the data or the disk is full.
    """
    failures = []
    for name, fetch in ((f"the Hugging Face hub ({REPOSITORY})", fetch_from_hub), (ARCHIVE, fetch_archive)):
        print(f"Downloading CIFAR-100 from {name}.", file=sys.stderr, flush=True)
        try:
            contents = fetch()
            for split, official in BINARY.items():
                if not has_checksum(official, contents.get(split, b"")):
                    raise ValueError(f"its {split} split is not the official one")
        except Exception as error:  # each library raises its own, and damaged data whatever its bytes mean
            if isinstance(error, OSError) and error.errno in FULL:
                raise UserError(f"CIFAR-100 could not be downloaded ({error}): {name_way_out(error)}.") from error
            failures.append(f"{name}: {brief(error)}")
            continue
        for split, official in BINARY.items():  # the large one first: on a full disk nothing is written
            write_bytes(folder / official.name, contents[split])
        return
    raise UserError(f"No source gave CIFAR-100 ({'; '.join(failures)}). {WAYS_OUT}")


def fetch_from_hub() -> dict[str, bytes]:
    """The two binary files, made from the hub's Parquet files, which stay in the hub's own cache."""
    from huggingface_hub import hf_hub_download
    from tqdm import tqdm  # a plain bar: the hub's own leaves widgets in a notebook, and GitHub refuses to show it

    contents = {}
    for split, official in BINARY.items():
        name = f"cifar100/{split}-00000-of-00001.parquet"
        endpoint = os.environ.get("HF_ENDPOINT")  # the library itself looks once, when it is imported
        file = Path(hf_hub_download(REPOSITORY, name, repo_type="dataset", endpoint=endpoint, tqdm_class=tqdm))
        try:
            contents[split] = make_binary_file(file)
        finally:
            if not has_checksum(official, contents.get(split, b"")):
                file.resolve().unlink()  # or the cache would give the same bytes again
    return contents


def make_binary_file(parquet_file: Path) -> bytes:
    """The records of the official binary file from the hub's columns `img` (PNG), `fine_label` and `coarse_label`."""
    from PIL import Image
    from pyarrow import parquet

    records = []
    for row in parquet.read_table(parquet_file, columns=["img", "fine_label", "coarse_label"]).to_pylist():
        with Image.open(io.BytesIO(row["img"]["bytes"]), formats=["PNG"]) as image:
            pixels = np.asarray(image.convert("RGB"))
        records.append(bytes((row["coarse_label"], row["fine_label"])) + pixels.transpose(2, 0, 1).tobytes())
    return b"".join(records)


def fetch_archive() -> dict[str, bytes]:
    """The two binary files from the official archive."""
    from torchvision.datasets.utils import download_url

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)  # torchvision's own connections would wait forever
    try:
        with tempfile.TemporaryDirectory() as folder:
            download_url(ARCHIVE, folder, "archive")
            return {split: records.tobytes() for split, records in read_official(Path(folder, "archive")).items()}
    finally:
        socket.setdefaulttimeout(before)
