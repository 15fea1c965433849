"""From any image to the 32x32 pixels that a network sees. Metadata never stands in the way of good pixels."""

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

SIDE = 32  # pixels, as CIFAR-100 has them
MAX_PIXELS = 60_000_000  # phones take up to 50 million; opening so many needs 0.9 GB, however small the file is
MAX_BYTES = 4 * MAX_PIXELS
# What people have. Not EPS, for which Pillow starts Ghostscript; nor TIFF or PPM, of which a few bytes can ask for
# gigabytes or minutes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_SCANS = 100  # of a JPEG; a camera writes about ten, and each goes through all pixels
MAX_PROFILE = 1_000_000  # bytes that a PNG's colour profile unpacks to; Pillow refuses the whole file beyond 1 MiB
# Begins a segment of a JPEG. An FF in the data of a scan is followed by 00, or by D0 to D7; 01 and D8 have no length.
MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]")
SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"IDAT", b"IEND")  # that say what the image looks like
ORIENTATION = 0x0112  # EXIF's tag for how the camera was held
ImageInput = str | os.PathLike | bytes | Image.Image | np.ndarray


def open_image(source: ImageInput) -> np.ndarray:
    """The image's central square, upright, in sRGB, as (S, S, 3) uint8; transparent parts on white.

    source: a file's path or its content, a PIL image (it stays as it is), or an array (H, W), (H, W, 3) or
    (H, W, 4), uint8 or float in 0..1. 16-bit grey is scaled to 8 bits; an animation gives its first frame.

    Raises UserError if it is missing, damaged or none of FORMATS, if it has more than MAX_PIXELS or MAX_SCANS
    (nothing is decoded before), or if its numbers have another range or shape. A file made for it may still take
    minutes: see `safe_opening`.
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
            raise ValueError("it is no path, bytes, PIL image or array")
        return cut_square(source)
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(FORMATS)}"
        raise UserError(f"{name} cannot be opened as an image ({reason}): choose a PNG or JPEG file.") from error


def read_image(content: bytes) -> Image.Image:
    """An image of which only the header is decoded. Raises ValueError for what would take long without being large."""
    if content.startswith(PNG_START):
        content = keep_chunks(content)
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.format in ("JPEG", "MPO") and count_scans(content) > MAX_SCANS:  # MPO: a JPEG with others behind it
        raise ValueError(f"it has more than {MAX_SCANS} progressive scans")
    if any(tile[0] == "bmp_rle" for tile in image.tile):  # Pillow reads them in Python, byte by byte
        raise ValueError("it is a BMP of run lengths")
    return image


def count_scans(jpeg: bytes) -> int:
    """How many scans there are up to the end of the image; a phone may put a video behind it."""
    scans = start = 0
    while (marker := MARKER.search(jpeg, start)) and marker[0] != END_OF_IMAGE:
        scans += marker[0] == SCAN
        start = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")  # the segment's length
    return scans


def keep_chunks(png: bytes) -> bytes:
    """The file without chunks that change no pixel, for which Pillow may refuse all of it: text that unpacks to a lot,
    or something of the wrong length. The same for a colour profile beyond MAX_PROFILE."""
    kept, start = [PNG_START], len(PNG_START)
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")  # with length, kind and checksum
        kind, data = png[start + 4 : start + 8], png[start + 8 : end - 4]
        if kind in PNG_CHUNKS and not (kind == b"iCCP" and is_bad_profile(data)):
            kept.append(png[start:end])
        start = end
    return b"".join(kept)


def is_bad_profile(data: bytes) -> bool:
    """Whether an iCCP chunk unpacks to more than MAX_PROFILE, or not at all."""
    packed = data.partition(b"\0")[2][1:]  # behind its name and the method of compression
    try:
        return len(zlib.decompressobj().decompress(packed, MAX_PROFILE + 1)) > MAX_PROFILE
    except zlib.error:
        return True


def scale_array(array: np.ndarray) -> np.ndarray:
    """An array of the kinds that `open_image` takes, as uint8. Raises ValueError for any other."""
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise ValueError(f"an array must be (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating) or not (array.min() >= 0 and array.max() <= 1):  # NaN fails as well
        raise ValueError("an array must be of uint8, or of float from 0 to 1")
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)


def cut_square(image: Image.Image) -> np.ndarray:
    """What `open_image` gives. Without resampling: but for their colour profile the pixels stay what they were."""
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise ValueError(f"it has no pixels, or more than {MAX_PIXELS:,}")
    profile, image = image.info.get("icc_profile"), turn_upright(image)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if image.mode.startswith("I"):  # "I;16", "I;16B" and, mostly with the same range, "I"
        values = np.asarray(image).astype(np.int32)  # 65535 is to be 255; convert() would clip
        image = Image.fromarray(((values.clip(0, 65535) + 128) // 257).astype(np.uint8))
    if image.mode == "P" or image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return np.asarray(convert_colours(image, profile))


def turn_upright(image: Image.Image) -> Image.Image:
    """As the orientation in its EXIF data says, if that can be read. Not by Pillow's `exif_transpose`: it writes the
    data anew, and fails where any other value is odd."""
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # damaged data raise whatever their bytes happen to mean
        return image
    if orientation in (5, 6, 7, 8):
        image = image.transpose(Image.Transpose.TRANSPOSE)
    if orientation in (2, 3, 6, 7):
        image = ImageOps.mirror(image)
    return ImageOps.flip(image) if orientation in (3, 4, 7, 8) else image


def convert_colours(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An opaque image in sRGB, which it is taken for if its profile is missing, damaged or for other channels."""
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def shrink(square: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 -> (32, 32, 3) uint8, with antialiasing. What has 32x32 pixels already keeps them."""
    return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def stack_images(sources: Sequence[ImageInput] | np.ndarray) -> np.ndarray:
    """What a network sees of each image: (N, 32, 32, 3) uint8. An array of just that kind is taken as it is.

    sources: a list of what `open_image` takes, or an array (N, H, W, 3 or 4). Raises UserError as `open_image` does,
    and if it is no list.
    """
    is_array = isinstance(sources, np.ndarray) and sources.ndim == 4
    if is_array and sources.dtype == np.uint8 and sources.shape[1:] == (SIDE, SIDE, 3):
        return sources
    if not is_array and not isinstance(sources, (list, tuple)):
        raise UserError("Several images are a list, or an array (N, H, W, 3): put a single one into a list.")
    return np.array([shrink(open_image(source)) for source in sources], np.uint8).reshape(-1, SIDE, SIDE, 3)
