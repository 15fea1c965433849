"""Small files that ask a decoder for minutes or gigabytes."""

import io
import struct

from PIL import Image


def make_many_scans(count: int = 150) -> bytes:
    """A progressive JPEG that goes so often through all of its pixels."""
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "JPEG", progressive=True)
    content, end = buffer.getvalue(), b"\xff\xd9"
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last : -len(end)] * count + end


def make_run_lengths(width: int = 60_000_000, height: int = 1) -> bytes:
    """A BMP with one jump of 255 lines: Pillow makes them all."""
    pixels = struct.pack("<4B", 0, 2, 0, 255)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    offset = 14 + len(header) + 4 * 256  # a palette of black
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + header + bytes(4 * 256) + pixels


def make_long_comment(megabytes: int = 19) -> bytes:
    """A GIF whose comment Pillow copies anew for each of its 255 bytes, and no image."""
    header = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0, 0, 0)
    return header + b"!\xfe" + (b"\xff" + bytes(255)) * (megabytes * 3906) + b"\0;"


def make_largest() -> bytes:
    """An image of just as many pixels as are taken, with transparency: the most work that is done for anyone."""
    buffer = io.BytesIO()
    Image.new("RGBA", (7500, 8000), (10, 200, 30, 128)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def promise(width: int, height: int) -> bytes:
    """A BMP that promises so many pixels and has none."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


REFUSED_AT_ONCE = {  # by their header
    "scans": make_many_scans,
    "run lengths": make_run_lengths,
    "pixels": lambda: promise(8_000, 8_000),
}
