"""Pictures in: files of any shape and kind. Pictures out: which are shown, and what an augmentation does to them."""

import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from cifar100.dataset.cifar import COARSE_OF_FINE
from cifar100.eda.augmentations import draw_augmented, list_transforms
from cifar100.errors import UserError
from cifar100.inference import pictures
from cifar100.inference.pictures import MAX_PIXELS, open_picture, shrink, stack_pictures
from cifar100.notebook.showcase import pick_examples
from cifar100.recipe import Augmentation
from cifar100.recipes import RECIPES


def test_the_central_square_is_taken(tmp_path):
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = (10, 200, 30)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    picture = open_picture(tmp_path / "wide.png")
    assert picture.shape == (40, 40, 3) and (picture == (10, 200, 30)).all()
    assert shrink(picture).shape == (32, 32, 3) and (shrink(picture) == (10, 200, 30)).all()


def test_transparent_is_white_grey_is_rgb_and_a_turned_photograph_stands_upright(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (open_picture(tmp_path / "clear.png") == 255).all()
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    assert (open_picture(tmp_path / "grey.png") == 77).all()
    lying = Image.fromarray(np.repeat(np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8), 8, 1).repeat(4, 0))
    exif = lying.getexif()
    exif[0x0112] = 3  # orientation: upside down
    lying.save(tmp_path / "turned.png", exif=exif)
    upright = open_picture(tmp_path / "turned.png")
    assert (upright[0, 0] == (0, 0, 255)).all() and (upright[-1, 0] == (255, 0, 0)).all()


def as_file(image, kind="PNG", **options) -> bytes:
    """The image as a file's content."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def header(width, height):
    """A BMP file that promises so many pixels and has none."""
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    pixels = noise(9, 9, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    with open(tmp_path / "a.png", "rb") as file:
        file.read(5)  # it need not stand at its beginning
        sources = [tmp_path / "a.png", str(tmp_path / "a.png"), content, bytearray(content), io.BytesIO(content), file]
        sources += [Image.fromarray(pixels), Image.open(tmp_path / "a.png"), pixels]
        sources += [pixels.astype(kind) / 255 for kind in (np.float16, np.float32, np.float64)]
        for source in sources:
            np.testing.assert_array_equal(open_picture(source), pixels)
        assert not file.closed
    grey, clear = noise(9, 9), np.dstack([pixels, np.zeros((9, 9), np.uint8)])
    np.testing.assert_array_equal(open_picture(grey), np.dstack([grey] * 3))
    assert (open_picture(clear) == 255).all() and (open_picture(clear / 255) == 255).all()


def test_a_picture_that_is_passed_stays_as_it_is():
    image = Image.fromarray(noise(6, 4, 3))
    image.getexif()[0x0112] = 6
    before = image.tobytes(), image.size
    assert open_picture(image).shape == (4, 4, 3)
    assert (image.tobytes(), image.size) == before


def palette_picture():
    """Four pixels of index 0 (red) and four of index 1 (blue)."""
    image = Image.new("P", (4, 2))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0] * 4 + [1] * 4)
    return image


RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
GREY_RAMP = np.array([[0, 257], [65535, 200 * 257]])  # of 16 bits
KINDS = {  # the file, the pixels in its first row
    "one bit": (as_file(Image.fromarray(np.array([[True, False]] * 2))), [WHITE, (0, 0, 0)]),
    "grey": (as_file(Image.new("L", (2, 2), 77)), [(77,) * 3] * 2),
    "grey, alpha": (as_file(Image.new("LA", (2, 2), (0, 51))), [(204,) * 3] * 2),
    "grey, a colour is clear": (as_file(Image.new("L", (2, 2), 7), transparency=7), [WHITE] * 2),
    "RGB, a colour is clear": (as_file(Image.new("RGB", (2, 2), BLUE), transparency=BLUE), [WHITE] * 2),
    "RGBA": (as_file(Image.new("RGBA", (2, 2), (0, 0, 255, 51))), [(204, 204, 255)] * 2),
    "palette": (as_file(palette_picture()), [RED] * 2),
    "palette, an index is clear": (as_file(palette_picture(), transparency=0), [WHITE] * 2),
    "palette, with alphas": (as_file(palette_picture(), transparency=bytes([51, 255])), [(255, 204, 204)] * 2),
    "CMYK": (as_file(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), [WHITE] * 8),
    "16-bit PNG": (as_file(Image.fromarray(GREY_RAMP.astype(np.uint16))), [(0,) * 3, (1,) * 3]),
    "BMP": (as_file(Image.new("RGB", (2, 2), BLUE), "BMP"), [BLUE] * 2),
    "WebP": (as_file(Image.new("RGBA", (2, 2), (0, 0, 255, 0)), "WEBP", lossless=True), [WHITE] * 2),
    "animation": (
        as_file(
            Image.new("RGB", (2, 2), RED), "GIF", save_all=True, append_images=[Image.new("RGB", (2, 2), BLUE)] * 2
        ),
        [RED] * 2,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_mode_becomes_eight_bits_of_red_green_and_blue(kind):
    content, first_row = KINDS[kind]
    picture = open_picture(content)
    assert picture.dtype == np.uint8 and picture.shape == (len(first_row), len(first_row), 3)
    np.testing.assert_array_equal(picture[0], first_row)
    assert shrink(picture).shape == (32, 32, 3)


def test_sixteen_bits_are_scaled_and_not_clipped():
    for kind in (">u2", "<u2", np.int32):
        mode = {">u2": "I;16B", "<u2": "I;16"}.get(kind, "I")
        image = Image.frombytes(mode, (2, 2), GREY_RAMP.astype(kind).tobytes())
        np.testing.assert_array_equal(open_picture(image)[..., 0], [[0, 1], [255, 200]])
    for mode, value, grey in (("F", 0.2, 51), ("CMYK", (0, 0, 0, 51), 204), ("I", 2570, 10)):
        assert (open_picture(Image.new(mode, (2, 2), value)) == grey).all()
    dark = as_file(Image.fromarray(np.full((2, 2), 200, np.uint16)))  # of 16 bits, and black indeed
    assert (open_picture(dark) == 1).all()
    for value in (-1, 65536):
        with pytest.raises(UserError, match="grey values beyond 16 bits: save it with 8 or 16"):
            open_picture(Image.new("I", (2, 2), value))


def test_eight_bits_in_a_mode_for_computing_are_not_black():
    np.testing.assert_array_equal(open_picture(Image.fromarray(noise(6, 6)).convert("I"))[..., 0], noise(6, 6))


def test_a_name_is_shown_in_one_line_without_what_a_terminal_obeys(tmp_path):
    with pytest.raises(UserError) as raised:
        open_picture(tmp_path / "a\n\x1b[31mb.png")
    assert str(raised.value).isprintable() and r"a\n\x1b[31mb.png" in str(raised.value)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_camera_says(orientation):
    """A red corner, which belongs at the top left, wherever the camera has stored it."""
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :12] = RED
    stored = {
        **{1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1)},
        **{6: np.rot90(upright), 7: upright[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(upright, -1)},
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = image.getexif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(open_picture(as_file(image, exif=exif)), upright[:, 4:20])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1), (2, 3), (33, 32)])
def test_the_narrowest_pictures_have_a_square(width, height):
    pixels = noise(height, width, 3)
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    np.testing.assert_array_equal(open_picture(pixels), pixels[top : top + side, left : left + side])
    assert shrink(open_picture(as_file(Image.fromarray(pixels)))).shape == (32, 32, 3)


def test_thirty_two_pixels_come_through_untouched():
    pixels = noise(32, 32, 3)
    for source in (pixels, pixels / 255, Image.fromarray(pixels), as_file(Image.fromarray(pixels))):
        np.testing.assert_array_equal(shrink(open_picture(source)), pixels)


def test_pictures_are_stacked_and_those_that_are_ready_are_not_opened(monkeypatch):
    images = noise(5, 32, 32, 3)
    large = np.full((50, 40, 3), 9, np.uint8)
    mixed = stack_pictures([images[0], large, as_file(Image.fromarray(images[1]))])
    np.testing.assert_array_equal(mixed[[0, 2]], images[:2])
    assert (mixed[1] == 9).all() and mixed.dtype == np.uint8
    assert stack_pictures(np.stack([large, large])).shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(stack_pictures(images / 255), images)
    assert stack_pictures([]).shape == (0, 32, 32, 3)
    monkeypatch.setattr(pictures, "open_picture", None)
    np.testing.assert_array_equal(stack_pictures(list(images)), images)
    np.testing.assert_array_equal(stack_pictures(images), images)


@pytest.mark.parametrize("single", ["cat.png", b"cat", np.zeros((32, 32, 3), np.uint8), Image.new("L", (1, 1))])
def test_a_single_picture_is_no_list(single):
    with pytest.raises(UserError, match="put a single one into a list"):
        stack_pictures(single)


def test_a_bad_picture_among_others_is_told_by_its_place():
    with pytest.raises(UserError, match="^Picture 2 of 3: There is no file missing.png"):
        stack_pictures([np.zeros((2, 2)), "missing.png", np.zeros((2, 2))])


def test_what_is_no_picture_is_refused(tmp_path):
    photograph = as_file(Image.fromarray(noise(64, 64, 3)), "JPEG")
    files = {
        "note.txt": b"no picture",
        "text.png": b"no picture",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        "page.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "truncated.jpg": photograph[: len(photograph) // 2],
        "truncated.png": as_file(Image.fromarray(noise(64, 64, 3)))[:5000],
        "promise.bmp": header(8, 8),
        "scan.tiff": as_file(Image.new("L", (8, 8)), "TIFF"),
        "pixels.ppm": as_file(Image.new("L", (8, 8)), "PPM"),
        "empty.png": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name in (*files, "missing.png", "a\0b.png", "x" * 5000, "."):
        with pytest.raises(UserError, match="name a PNG or JPEG file") as raised:
            open_picture(tmp_path / name)
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 400
    for name, content in files.items():
        if name != "empty.png":
            with pytest.raises(UserError, match="^The picture .*name a PNG or JPEG file"):
                open_picture(content)


@pytest.mark.parametrize(
    "address", ["http://x.org/a.png", "HTTPS://x.org/a.png", "file:///a.png", "data:image/png;base64,"]
)
def test_an_address_is_to_be_downloaded_first(address):
    with pytest.raises(UserError, match="is an address: download it first"):
        open_picture(address)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.full((4, 4), np.nan), "holds NaN, or numbers that are not from 0 to 1: divide by 255"),
        (np.full((4, 4, 3), 255.0), "divide by 255"),
        (np.full((4, 4, 3), -0.1), "divide by 255"),
        (np.zeros((4, 4, 3), np.int64), "uint8, or of float from 0 to 1: not int64"),
        (np.zeros((3, 8, 8)), "must be an array .H, W., .* not .3, 8, 8."),
        (np.zeros((1, 4, 4, 3)), "must be an array"),
        (np.zeros(4), "must be an array"),
        (np.zeros((0, 4, 3)), "has no pixels"),
        (Image.new("RGB", (0, 4)), "has no pixels"),
        (Image.fromarray(np.full((2, 2), 9, np.float32)), "divide by 255"),
        (None, "pass one of these, not NoneType"),
        ([[1, 2]], "pass one of these, not list"),
        (io.StringIO("text"), "opened in binary mode"),
    ],
)
def test_what_no_picture_can_be_is_refused(source, message):
    with pytest.raises(UserError, match=message):
        open_picture(source)


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("strict", [False, True])
def test_a_bomb_is_refused_by_its_header(strict, tmp_path, recwarn):
    """Ours, then the size at which Pillow warns, then that at which it raises."""
    with warnings.catch_warnings():
        if strict:
            warnings.simplefilter("error")
        for side in (8_000, 11_000, 20_000):
            (tmp_path / "bomb.bmp").write_bytes(header(side, side))  # decoding would find it truncated
            for source in (tmp_path / "bomb.bmp", header(side, side)):
                with pytest.raises(UserError, match="has more than 60,000,000 pixels: make it smaller first"):
                    open_picture(source)
    assert MAX_PIXELS < Image.MAX_IMAGE_PIXELS
    empty = np.broadcast_to(np.uint8(0), (8_000, 8_000))  # one byte of memory
    with pytest.raises(UserError, match="more than 60,000,000 pixels"):
        open_picture(empty)


def test_threads_open_pictures_at_the_same_time():
    images = noise(24, 40, 40, 3)
    contents = [as_file(Image.fromarray(image)) for image in images]
    contents[3] = header(20_000, 20_000)

    def result(content):
        try:
            return open_picture(content)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(result, contents))
    assert "60,000,000" in results.pop(3)
    np.testing.assert_array_equal(results, np.delete(images, 3, 0))


def test_each_transform_stands_alone_and_applies_to_every_picture():
    recipe = RECIPES["resnet56_multistep"]
    alone = list_transforms(recipe.augmentation)
    assert list(alone) == ["flip", "shift, scale, rotate", "cutout", "colour jitter"]
    images = np.random.default_rng(0).integers(1, 255, (20, 32, 32, 3), dtype=np.uint8)
    holes = draw_augmented(alone["cutout"], images, 1)[:, 0]
    assert ((holes == 0).all(-1).sum((1, 2)) == 16 * 16).all()
    assert (np.where(holes == 0, images, holes) == images).all()
    assert set(list_transforms(RECIPES["sprint"].augmentation)) == {"crop", "flip"}
    assert list_transforms(Augmentation()) == {}


@pytest.mark.parametrize("name", ["resnet56_multistep", "sprint"])
def test_draws_are_those_of_the_training(name):
    images = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    draws = draw_augmented(RECIPES[name].augmentation, images, 4)
    assert draws.shape == (6, 4, 32, 32, 3) and draws.dtype == np.uint8
    np.testing.assert_array_equal(draws, draw_augmented(RECIPES[name].augmentation, images, 4))
    assert (draws[:, 0] != draws[:, 1]).any()


def test_surest_examples_come_first_one_a_superclass():
    probabilities = np.zeros((5, 100))
    labels = np.array([0, 0, 1, 2, 3])  # apple, apple, aquarium fish, baby, bear
    for k, (guess, share) in enumerate([(0, 0.7), (0, 0.9), (1, 0.8), (5, 0.6), (6, 0.95)]):
        probabilities[k, guess] = share
    assert len(set(COARSE_OF_FINE[labels])) == 4
    assert pick_examples(probabilities, labels, True, 8).tolist() == [1, 2]
    assert pick_examples(probabilities, labels, False, 8).tolist() == [4, 3]
    assert pick_examples(probabilities, labels, True, 1).tolist() == [1]
