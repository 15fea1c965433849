"""CIFAR-100 as the Hugging Face hub keeps it, made into the official files again."""

import io
from pathlib import Path

import numpy as np

from cifar100.dataset import official
from cifar100.errors import brief


def rebuild(part: Path, split: str) -> bytearray:
    """The content of the official train.bin or test.bin from a Parquet file: columns `img` (PNG in `bytes`),
    `fine_label` and `coarse_label`, in the official order. Raises ValueError, in words that go on after the source's
    name, if the file cannot be read or the SHA-1 is another one."""
    from PIL import Image
    from pyarrow.parquet import ParquetFile

    records = bytearray()
    try:
        with ParquetFile(part) as file:
            for batch in file.iter_batches(1000, columns=["img.bytes", "fine_label", "coarse_label"]):
                for row in batch.to_pylist():
                    with Image.open(io.BytesIO(row["img"]["bytes"]), formats=["PNG"]) as picture:
                        if picture.size != (32, 32):
                            raise ValueError(f"a picture of {picture.size[0]}x{picture.size[1]} pixels")
                        pixels = np.asarray(picture.convert("RGB"))
                    records += bytes((row["coarse_label"], row["fine_label"])) + pixels.transpose(2, 0, 1).tobytes()
                if len(records) > official.MOST_BYTES:
                    raise ValueError("too many pictures")
    except Exception as error:  # nothing is known of this file yet, and a damaged one raises whatever its bytes mean
        raise ValueError(f"sends a Parquet file that cannot be used ({brief(error)})") from error
    if not official.is_official(f"cifar-100-binary/{split}.bin", records):
        raise ValueError(f"sends pictures from which {split}.bin does not come out as the official one")
    return records
