"""From any picture to the 32x32 pixels that a network sees."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cifar100.errors import UserError, printable

SIDE = 32  # pixels, as CIFAR-100 has them
MAX_PIXELS = 60_000_000  # phones take up to 50 million; opening so many needs 0.9 GB, however small the file is
# What people have. Not EPS, for which Pillow starts Ghostscript; nor TIFF or PPM, of which a few bytes can ask for
# gigabytes or minutes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_SCANS = 100  # of a JPEG; a camera writes about ten, and each goes through all pixels
SCAN = b"\xff\xda"  # begins one, and is nowhere in its data
CHUNK = 1 << 20  # bytes
OPAQUE = ("1", "L", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")  # modes without transparency, unless `info` names a colour
Picture = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray


def open_picture(picture: Picture) -> np.ndarray:
    """The picture's central square, upright, as (S, S, 3) uint8; transparent parts on white.

    picture: a file's path, its content as bytes or as a file opened in binary mode (it stays open), a PIL
    image (it stays as it is), or an array (H, W), (H, W, 3) or (H, W, 4), uint8 or float in 0..1. 16-bit
    grey is scaled to 8 bits; an animation gives its first frame. Threads may call it at the same time.

    Raises UserError if it is missing, damaged or none of FORMATS, if it has more than MAX_PIXELS, more than MAX_SCANS
    or run lengths (by its header: nothing is decoded before), or if its numbers have another range or shape. What a
    stranger sends may still take long: see `safe_opening`.
    """
    name = printable(str(picture)[:200]) if isinstance(picture, (str, os.PathLike)) else "The picture"
    try:
        if isinstance(picture, np.ndarray):
            return cut_square(Image.fromarray(scale_array(picture, name)), name)
        if isinstance(picture, Image.Image):
            return cut_square(picture, name)
        if isinstance(picture, (str, os.PathLike)):
            check_file(Path(picture), name)
            with open(picture, "rb") as file:
                return cut_square(open_file(file, name), name)
        file = io.BytesIO(picture) if isinstance(picture, (bytes, bytearray)) else picture
        if isinstance(file, io.TextIOBase) or not hasattr(file, "read"):
            raise UserError(
                "A picture is a path, bytes, a file opened in binary mode, a PIL image or an array: "
                f"pass one of these, not {type(picture).__name__}."
            )
        return cut_square(open_file(file, name), name)
    except UserError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(name) from error
    except UnidentifiedImageError as error:
        kinds = ", ".join(FORMATS)
        raise UserError(f"{name} is no picture of a kind read here ({kinds}): name a PNG or JPEG file.") from error
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{name} cannot be opened as a picture ({reason}): name a PNG or JPEG file.") from error


def open_file(file: BinaryIO, name: str) -> Image.Image:
    """A picture of which only the header is decoded. Raises UserError for what would take long without being large."""
    image = Image.open(file, formats=FORMATS)
    if image.format in ("JPEG", "MPO") and sum(count_scans(file)) > MAX_SCANS:  # MPO: a JPEG with others behind it
        raise UserError(f"{name} has more than {MAX_SCANS} progressive scans: save it anew.")
    if any(tile[0] == "bmp_rle" for tile in image.tile):  # Pillow reads them in Python, byte by byte
        raise UserError(f"{name} is a BMP of run lengths: save it as a PNG file.")
    return image


def count_scans(file: BinaryIO) -> Iterator[int]:
    """How often SCAN is in each part of the file, whose place is kept."""
    place, last = file.tell(), b""
    file.seek(0)
    while part := file.read(CHUNK):
        yield (last + part).count(SCAN)
        last = part[-1:]
    file.seek(place)


def shrink(picture: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 -> (32, 32, 3) uint8, as CIFAR-100's photographs were shrunk: with antialiasing. What has 32x32
    pixels already keeps every one of them."""
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def stack_pictures(pictures: list[Picture] | tuple[Picture, ...] | np.ndarray) -> np.ndarray:
    """What a network sees of each picture: (N, 32, 32, 3) uint8. Arrays of just that kind are taken as they are.

    pictures: a list of what `open_picture` takes, or an array (N, H, W, 3 or 4). Raises UserError as `open_picture`
    does, with the picture's place in the list, and if it is no list.
    """
    if isinstance(pictures, np.ndarray) and pictures.ndim == 4:
        if pictures.dtype == np.uint8 and pictures.shape[1:] == (SIDE, SIDE, 3):
            return pictures
    elif not isinstance(pictures, (list, tuple)):
        raise UserError("Several pictures are a list, or an array (N, H, W, 3): put a single one into a list.")
    seen = np.empty((len(pictures), SIDE, SIDE, 3), np.uint8)
    for k, picture in enumerate(pictures):
        ready = isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.shape == seen.shape[1:]
        try:
            seen[k] = picture if ready else shrink(open_picture(picture))
        except UserError as error:
            if len(pictures) == 1:
                raise
            raise UserError(f"Picture {k + 1} of {len(pictures)}: {error}") from error
    return seen


def cut_square(image: Image.Image, name: str) -> np.ndarray:
    """What `open_picture` gives. Without resampling: the pixels stay what they were."""
    check_size(image.width, image.height, name)
    read_as_sixteen_bits = image.mode != "I" or image.format == "PNG"  # older Pillow says "I" of a 16-bit PNG
    image = ImageOps.exif_transpose(image)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if image.mode.startswith("I"):  # "I;16", "I;16B" and, mostly with the same range, "I"
        values = np.asarray(image).astype(np.int32)
        if values.min() < 0 or values.max() > 65535:
            raise UserError(f"{name} has grey values beyond 16 bits: save it with 8 or 16 bits a channel.")
        if read_as_sixteen_bits or values.max() > 255:  # else 8 bits that were made "I" to compute with
            values = (values + 128) // 257  # 65535 is 255; convert() would clip
        image = Image.fromarray(values.astype(np.uint8))
    elif image.mode == "F":
        image = Image.fromarray(scale_array(np.asarray(image), name))
    if image.mode not in OPAQUE or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def scale_array(array: np.ndarray, name: str) -> np.ndarray:
    """An array of the kinds that `open_picture` takes, as uint8. Raises UserError for any other."""
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise UserError(f"{name} must be an array (H, W), (H, W, 3) or (H, W, 4): not {array.shape}.")
    check_size(array.shape[1], array.shape[0], name)
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{name} must be an array of uint8, or of float from 0 to 1: not {array.dtype}.")
    if not (array.min() >= 0 and array.max() <= 1):  # NaN fails as well
        raise UserError(f"{name} holds NaN, or numbers that are not from 0 to 1: divide by 255, or make it uint8.")
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)


def check_file(path: Path, name: str) -> None:
    """Raises UserError unless there is such a file with something in it."""
    if re.match(r"[a-z]{2,}:/|data:", name, re.IGNORECASE):  # Path leaves one slash of http://
        raise UserError(f"{name} is an address: download it first, then name the file.")
    if path.is_dir():
        raise UserError(f"{name} is a folder: name a PNG or JPEG file.")
    if not path.is_file():
        raise UserError(f"There is no file {name}: name a PNG or JPEG file.")
    if path.stat().st_size == 0:
        raise UserError(f"{name} is empty: name a PNG or JPEG file.")


def check_size(width: int, height: int, name: str) -> None:
    if not width or not height:
        raise UserError(f"{name} has no pixels: pass a picture of 1x1 or more.")
    if width * height > MAX_PIXELS:
        raise too_large(name)


def too_large(name: str) -> UserError:
    return UserError(f"{name} has more than {MAX_PIXELS:,} pixels: make it smaller first.")
