"""Convert any image to the 32x32 pixels of the network's input. Damaged metadata are ignored."""

import io
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from cifar100.errors import UserError, printable
from cifar100.files import read_regular

SIDE = 32  # pixels, as in CIFAR-100
MAX_PIXELS = 60_000_000  # phones take up to 50 million; opening them needs 0.9 GB, even from a small file
MAX_BYTES = 4 * MAX_PIXELS
# Not EPS, for which Pillow starts Ghostscript; nor TIFF or PPM, where a few bytes can take gigabytes or minutes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_SCANS = 100  # of a JPEG; a camera writes about ten, and each one covers all pixels
MAX_PROFILE = 1_000_000  # unpacked bytes of a PNG's colour profile; beyond 1 MiB Pillow refuses the file
# The start of a JPEG segment. In the data of a scan, FF is followed by 00 or D0 to D7; 01 and D8 have no length.
MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]")
SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"IDAT", b"IEND")  # that affect the pixels
ORIENTATION = 0x0112  # the EXIF tag
ImageInput = str | os.PathLike | bytes | Image.Image | np.ndarray


def open_image(source: ImageInput) -> np.ndarray:
    """The central square of an image, upright, in sRGB: (S, S, 3) uint8. Transparent parts become white.

    source: the path or the content of a file, a PIL image (not modified), or an array (H, W), (H, W, 3) or (H, W, 4),
    uint8 or float in 0..1. 16-bit grey is scaled to 8 bits; of an animation the first frame is used.

    Raises UserError if the file is missing, damaged, in none of FORMATS, or has more than MAX_PIXELS or MAX_SCANS
    (checked before decoding), or if an array has another range or shape. A malicious file may still take minutes: see
    `safe_opening`.
    """
    name = printable(str(source)[:200]) if isinstance(source, (str, os.PathLike)) else "The image"
    try:
        if isinstance(source, np.ndarray):
            source = Image.fromarray(scale_array(source))
        elif isinstance(source, (str, os.PathLike)):
            source = read_image(read_regular(Path(source), MAX_BYTES))
        elif isinstance(source, bytes):
            source = read_image(source)
        if not isinstance(source, Image.Image):
            raise ValueError("it is not a path, bytes, a PIL image or an array")
        return cut_square(source)
    except Exception as error:  # a damaged file may raise any exception
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(FORMATS)}"
        raise UserError(f"{name} cannot be opened as an image ({reason}): choose a PNG or JPEG file.") from error


def read_image(content: bytes) -> Image.Image:
    """Open an image and decode only its header. Raises ValueError for small files that take long to decode."""
    if content.startswith(PNG_START):
        content = keep_chunks(content)
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.format in ("JPEG", "MPO") and count_scans(content) > MAX_SCANS:  # MPO: several JPEGs in a file
        raise ValueError(f"it has more than {MAX_SCANS} progressive scans")
    if any(tile[0] == "bmp_rle" for tile in image.tile):  # Pillow reads them in Python, byte by byte
        raise ValueError("it is a run-length encoded BMP")
    return image


def count_scans(jpeg: bytes) -> int:
    """The number of scans before the end of the image; a phone may append a video."""
    scans = start = 0
    while (marker := MARKER.search(jpeg, start)) and marker[0] != END_OF_IMAGE:
        scans += marker[0] == SCAN
        start = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")  # the segment's length
    return scans


def keep_chunks(png: bytes) -> bytes:
    """The file without chunks that do not affect the pixels, because Pillow refuses the file if they are too large or
    damaged; also without a colour profile above MAX_PROFILE."""
    kept, start = [PNG_START], len(PNG_START)
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")  # with length, kind and checksum
        kind, data = png[start + 4 : start + 8], png[start + 8 : end - 4]
        if kind in PNG_CHUNKS and not (kind == b"iCCP" and is_bad_profile(data)):
            kept.append(png[start:end])
        start = end
    return b"".join(kept)


def is_bad_profile(data: bytes) -> bool:
    """Whether an iCCP chunk is larger than MAX_PROFILE when unpacked, or cannot be unpacked."""
    packed = data.partition(b"\0")[2][1:]  # after its name and the compression method
    try:
        return len(zlib.decompressobj().decompress(packed, MAX_PROFILE + 1)) > MAX_PROFILE
    except zlib.error:
        return True


def scale_array(array: np.ndarray) -> np.ndarray:
    """An array for `open_image` as uint8. Raises ValueError if its shape, type or range is invalid."""
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise ValueError(f"an array must be (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating) or not (array.min() >= 0 and array.max() <= 1):  # also false for NaN
        raise ValueError("an array must be uint8, or float from 0 to 1")
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)


def cut_square(image: Image.Image) -> np.ndarray:
    """The result of `open_image`. There is no resampling: only the colour profile changes the pixels."""
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise ValueError(f"it has no pixels, or more than {MAX_PIXELS:,}")
    profile, image = image.info.get("icc_profile"), turn_upright(image)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if image.mode.startswith("I"):  # "I;16", "I;16B" and "I", which mostly has the same range
        values = np.asarray(image).astype(np.int32)  # 65535 becomes 255; convert() would clip
        image = Image.fromarray(((values.clip(0, 65535) + 128) // 257).astype(np.uint8))
    if image.mode == "P" or image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return np.asarray(convert_colours(image, profile))


def turn_upright(image: Image.Image) -> Image.Image:
    """Apply the orientation in the EXIF data, if it can be read. Pillow's `exif_transpose` also rewrites the data and
    fails if any other value is invalid."""
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # damaged data may raise any exception
        return image
    if orientation in (5, 6, 7, 8):
        image = image.transpose(Image.Transpose.TRANSPOSE)
    if orientation in (2, 3, 6, 7):
        image = ImageOps.mirror(image)
    return ImageOps.flip(image) if orientation in (3, 4, 7, 8) else image


def convert_colours(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an opaque image to sRGB. Without a valid profile for its channels it is assumed to be in sRGB."""
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def shrink(square: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 -> (32, 32, 3) uint8, with antialiasing. 32x32 pixels are unchanged."""
    return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def stack_images(sources: Sequence[ImageInput] | np.ndarray) -> np.ndarray:
    """The 32x32 pixels of each image: (N, 32, 32, 3) uint8. An array that already has this form is returned.

    sources: a list of inputs of `open_image`, or an array (N, H, W, 3 or 4). Raises UserError as `open_image` does, and
    if it is not a list.
    """
    is_array = isinstance(sources, np.ndarray) and sources.ndim == 4
    if is_array and sources.dtype == np.uint8 and sources.shape[1:] == (SIDE, SIDE, 3):
        return sources
    if not is_array and not isinstance(sources, (list, tuple)):
        raise UserError("Pass images as a list or an array (N, H, W, 3); put a single image into a list.")
    return np.array([shrink(open_image(source)) for source in sources], np.uint8).reshape(-1, SIDE, SIDE, 3)
