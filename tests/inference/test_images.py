"""Any image becomes the pixels that a network sees, whatever else its file holds."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from cifar100.errors import UserError
from cifar100.inference.images import open_image, shrink, stack_images
from tests.inference.costly import promise


def as_file(image, kind="PNG", **options) -> bytes:
    """The image as a file's content."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_the_central_square_is_taken(tmp_path):
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = (10, 200, 30)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    square = open_image(tmp_path / "wide.png")
    assert square.shape == (40, 40, 3) and (square == (10, 200, 30)).all()
    assert shrink(square).shape == (32, 32, 3) and (shrink(square) == (10, 200, 30)).all()


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    pixels = noise(9, 9, 3)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    sources = [path, str(path), path.read_bytes(), Image.fromarray(pixels), Image.open(path), pixels]
    for source in sources + [pixels.astype(kind) / 255 for kind in (np.float16, np.float32, np.float64)]:
        np.testing.assert_array_equal(open_image(source), pixels)
    grey, clear = noise(9, 9), np.dstack([pixels, np.zeros((9, 9), np.uint8)])
    np.testing.assert_array_equal(open_image(grey), np.dstack([grey] * 3))
    assert (open_image(clear) == 255).all() and (open_image(clear / 255) == 255).all()


PALETTE = Image.new("P", (2, 2))
PALETTE.putpalette([255, 0, 0])
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
SIXTEEN_BITS = np.array([[0, 257], [65535, 200 * 257]], np.uint16)
KINDS = {  # the file, the pixels in its first row
    "one bit": (as_file(Image.fromarray(np.array([[True, False]] * 2))), [WHITE, (0, 0, 0)]),
    "grey, alpha": (as_file(Image.new("LA", (2, 2), (0, 51))), [(204,) * 3] * 2),
    "RGB, a colour is clear": (as_file(Image.new("RGB", (2, 2), BLUE), transparency=BLUE), [WHITE] * 2),
    "RGBA": (as_file(Image.new("RGBA", (2, 2), (0, 0, 255, 51))), [(204, 204, 255)] * 2),
    "palette": (as_file(PALETTE), [RED] * 2),
    "palette, with alphas": (as_file(PALETTE, transparency=bytes([51])), [(255, 204, 204)] * 2),
    "CMYK": (as_file(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), [WHITE] * 8),
    "16-bit PNG": (as_file(Image.fromarray(SIXTEEN_BITS)), [(0,) * 3, (1,) * 3]),
    "BMP": (as_file(Image.new("RGB", (2, 2), BLUE), "BMP"), [BLUE] * 2),
    "WebP": (as_file(Image.new("RGBA", (2, 2), (0, 0, 255, 0)), "WEBP", lossless=True), [WHITE] * 2),
    "animation": (
        as_file(Image.new("RGB", (2, 2), RED), "GIF", save_all=True, append_images=[Image.new("RGB", (2, 2))]),
        [RED] * 2,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_mode_becomes_eight_bits_of_red_green_and_blue(kind):
    content, first_row = KINDS[kind]
    pixels = open_image(content)
    assert pixels.dtype == np.uint8 and pixels.shape == (len(first_row), len(first_row), 3)
    np.testing.assert_array_equal(pixels[0], first_row)


def make_exif(orientation: int, odd: bool = False) -> bytes:
    """EXIF data with this orientation; odd: and with a brightness (SRATIONAL) of -1/0, as some phones write it."""
    entries = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)]
    if odd:
        entries.append(struct.pack("<HHII", 0x9203, 10, 1, 8 + 2 + 2 * 12 + 4))
    start = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    return start + b"".join(entries) + bytes(4) + struct.pack("<ii", -1, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("odd", [False, True])
def test_a_photograph_is_turned_as_its_camera_says(orientation, odd):
    """A red corner, which belongs at the top left, wherever the camera has stored it."""
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :12] = RED
    stored = {
        **{1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1)},
        **{6: np.rot90(upright), 7: upright[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(upright, -1)},
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = make_exif(orientation, odd)
    np.testing.assert_array_equal(open_image(as_file(image, exif=exif)), upright[:, 4:20])
    jpeg = open_image(as_file(image, "JPEG", exif=exif, quality=100, subsampling=0))
    assert np.abs(jpeg.astype(int) - upright[:, 4:20]).max() < 30


def test_what_lies_behind_a_jpeg_is_no_part_of_it():
    """A motion photograph is a JPEG with a video behind it, in which a scan seems to begin every 65,536 bytes."""
    odd = {"exif": make_exif(1), "comment": b"\xff\xda" * 200}
    for options in ({}, {"progressive": True}, {"restart_marker_blocks": 1}, odd):
        photograph = as_file(Image.fromarray(noise(64, 64, 3)), "JPEG", **options)
        moving = photograph + os.urandom(10_000_000) + b"\xff\xda" * 200
        np.testing.assert_array_equal(open_image(moving), open_image(photograph))


def add_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """The PNG with one more chunk behind its header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


def test_what_a_png_says_beside_its_pixels_is_no_reason_to_refuse_it():
    pixels = noise(9, 9, 3)
    image, text = Image.fromarray(pixels), PngImagePlugin.PngInfo()
    text.add_text("drawing", "x" * 5_000_000, zip=True)
    plain, zeros = as_file(image), zlib.compress(bytes(300_000_000), 1)
    contents = {
        "text": as_file(image, pnginfo=text),
        "a bomb of text": add_chunk(plain, b"iTXt", b"Comment\0\1\0\0\0" + zeros),
        "a large profile": as_file(image, icc_profile=os.urandom(3_000_000)),
        "a bomb of a profile": add_chunk(plain, b"iCCP", b"profile\0\0" + zeros),
        "no profile": add_chunk(plain, b"iCCP", b"profile\0\0" + b"not packed"),
        "a wrong checksum": add_chunk(plain, b"tEXt", b"a\0b").replace(b"a\0b", b"a\0c"),
    }
    for kind, content in contents.items():
        np.testing.assert_array_equal(open_image(content), pixels, kind)
    for damaged in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nothing"):
        assert open_image(as_file(image, "JPEG", exif=damaged)).shape == (9, 9, 3)


# Display P3 has sRGB's curve and white, and a wider red, green and blue, here adapted to D50 as profiles have them.
DISPLAY_P3 = ((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407))
SRGB = ((0.43607, 0.38515, 0.14308), (0.22249, 0.71690, 0.06061), (0.01392, 0.09708, 0.71410))


def make_profile(primaries) -> bytes:
    """An ICC profile of version 2 with the gamma 2.2: the columns of `primaries` are the XYZ of red, green and blue."""
    white = (0.9642, 1.0, 0.8249)
    points = [white, *zip(*primaries)]
    tags = {
        name: b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in point)
        for name, point in zip((b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ"), points)
    }
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(2.2 * 256), 0)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content
    header = struct.pack(">I4xI4s4s4s", start + len(data), 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + b"".join(struct.pack(">i", round(value * 65536)) for value in white)
    return header.ljust(128, b"\0") + table + data


def test_a_colour_profile_is_converted_to_srgb():
    """By the definition of both colour spaces: linear light, times the matrix from one to the other."""
    colours = np.array([[200, 100, 50], [60, 180, 90], [120, 120, 120], [255, 255, 255]])
    linear = (colours / 255) ** 2.2 @ np.array(DISPLAY_P3).T @ np.linalg.inv(SRGB).T
    linear = linear.clip(0, 1)
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    image = Image.fromarray(np.repeat(colours.astype(np.uint8)[:, None], 4, 1))
    for kind in ("PNG", "WEBP"):
        content = as_file(image, kind, icc_profile=make_profile(DISPLAY_P3), lossless=True)
        assert np.abs(open_image(content)[:, 0] - expected).max() < 2
    same = as_file(image, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert np.abs(open_image(same)[:, 0].astype(int) - colours).max() <= 1
    for unsound in (b"no profile", make_profile(DISPLAY_P3)[:200]):
        np.testing.assert_array_equal(open_image(as_file(image, icc_profile=unsound))[:, 0], colours)


def test_images_are_stacked_and_thirty_two_pixels_stay_as_they_are():
    images, large = noise(5, 32, 32, 3), np.full((50, 40, 3), 9, np.uint8)
    mixed = stack_images([images[0], large, as_file(Image.fromarray(images[1]))])
    np.testing.assert_array_equal(mixed[[0, 2]], images[:2])
    assert (mixed[1] == 9).all() and mixed.dtype == np.uint8
    np.testing.assert_array_equal(stack_images(images / 255), images)
    assert stack_images(images) is images and stack_images([]).shape == (0, 32, 32, 3)
    for single in ("cat.png", b"cat", images[0], Image.new("L", (1, 1))):
        with pytest.raises(UserError, match="put a single image into a list"):
            stack_images(single)


def test_what_is_no_image_is_refused(tmp_path):
    photograph = as_file(Image.fromarray(noise(64, 64, 3)), "JPEG")
    contents = {
        "text.png": b"no image",
        "truncated.jpg": photograph[: len(photograph) // 2],
        "promise.bmp": promise(8, 8),
        "scan.tiff": as_file(Image.new("L", (8, 8)), "TIFF"),
        "empty.png": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="^The image cannot be opened .*choose a PNG or JPEG file"):
            open_image(content)
    os.mkfifo(tmp_path / "pipe.png")
    for name in (*contents, "missing.png", "a\0b.png", "x" * 5000, ".", "a\n\x1b[31mb.png", "pipe.png"):
        with pytest.raises(UserError, match="choose a PNG or JPEG file") as raised:
            open_image(tmp_path / name)
        assert str(raised.value).isprintable() and len(str(raised.value)) < 400
    for array, words in (
        (np.full((4, 4), np.nan), "float from 0 to 1"),
        (np.zeros((4, 4, 3), np.int64), "uint8, or float from 0 to 1"),
        (np.zeros((3, 8, 8)), "must be .H, W., .* not .3, 8, 8."),
        (np.zeros((0, 4, 3), np.uint8), "cannot be opened"),
        (None, "not a path, bytes, a PIL image or an array"),
    ):
        with pytest.raises(UserError, match=words):
            open_image(array)
