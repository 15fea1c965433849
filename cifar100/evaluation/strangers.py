"""Pictures that are of none of the classes, made on the spot, to measure how well a network tells them from its own.

No photographs: noise, flat colours, writing, test images in pieces, and drawings of things outside the 100 classes.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 32  # pixels
COUNT = 500  # pictures of a kind
PATCH = 4  # pixels a side, of the pieces of a scrambled image
CANVAS = 128  # pixels a side, of a drawing before it is shrunk
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# Shapes in the order in which they are drawn: what, its points or corners (0..100), which of three colours. A number
# behind a line's colour is its width.
THINGS: dict[str, list[tuple]] = {
    "aeroplane": [
        ("polygon", (50, 8, 56, 22, 56, 80, 50, 94, 44, 80, 44, 22), 0),
        ("polygon", (44, 36, 44, 54, 6, 66, 6, 58), 1),
        ("polygon", (56, 36, 56, 54, 94, 66, 94, 58), 1),
        ("polygon", (50, 78, 68, 90, 68, 94, 32, 94, 32, 90), 1),
    ],
    "anchor": [
        ("ellipse", (42, 6, 58, 22), 1),
        ("line", (50, 20, 50, 88), 0, 8),
        ("line", (30, 34, 70, 34), 0, 8),
        ("line", (16, 60, 26, 80, 50, 90, 74, 80, 84, 60), 0, 8),
    ],
    "dice": [
        ("polygon", (14, 34, 50, 16, 86, 34, 50, 52), 0),
        ("polygon", (14, 34, 50, 52, 50, 92, 14, 74), 1),
        ("polygon", (86, 34, 50, 52, 50, 92, 86, 74), 2),
        ("ellipse", (45, 30, 55, 38), 2),
        ("ellipse", (20, 46, 28, 56), 0),
        ("ellipse", (36, 70, 44, 80), 0),
    ],
    "envelope": [
        ("rectangle", (8, 24, 92, 78), 0),
        ("line", (8, 24, 50, 56, 92, 24), 1, 5),
        ("line", (8, 78, 38, 48), 1, 3),
        ("line", (92, 78, 62, 48), 1, 3),
    ],
    "guitar": [
        ("ellipse", (24, 52, 76, 96), 0),
        ("ellipse", (30, 36, 70, 68), 0),
        ("ellipse", (42, 56, 58, 72), 2),
        ("rectangle", (46, 6, 54, 60), 1),
        ("rectangle", (42, 2, 58, 12), 1),
    ],
    "hammer": [("rectangle", (45, 26, 55, 94), 1), ("rectangle", (22, 10, 78, 32), 0)],
    "key": [
        ("ellipse", (8, 34, 42, 68), 0),
        ("ellipse", (17, 43, 33, 59), 2),
        ("rectangle", (40, 47, 94, 55), 0),
        ("rectangle", (76, 55, 82, 68), 0),
        ("rectangle", (88, 55, 94, 70), 0),
    ],
    "ladder": [
        ("line", (32, 4, 24, 96), 0, 6),
        ("line", (68, 4, 76, 96), 0, 6),
        *[("line", (32 - k * 1.1, 4 + 12 * k, 68 + k * 1.1, 4 + 12 * k), 1, 5) for k in range(1, 8)],
    ],
    "scissors": [
        ("polygon", (30, 4, 38, 4, 60, 62, 52, 64), 0),
        ("polygon", (70, 4, 62, 4, 40, 62, 48, 64), 0),
        ("ellipse", (22, 60, 48, 94), 1),
        ("ellipse", (52, 60, 78, 94), 1),
        ("ellipse", (29, 69, 41, 86), 2),
        ("ellipse", (59, 69, 71, 86), 2),
    ],
    "snowman": [
        ("ellipse", (22, 50, 78, 98), 0),
        ("ellipse", (32, 20, 68, 56), 0),
        ("rectangle", (36, 4, 64, 22), 1),
        ("line", (28, 22, 72, 22), 1, 4),
        ("polygon", (50, 36, 50, 42, 66, 40), 2),
    ],
    "traffic light": [
        ("rectangle", (46, 70, 54, 98), 1),
        ("rectangle", (32, 4, 68, 74), 1),
        ("ellipse", (40, 8, 60, 28), 0),
        ("ellipse", (40, 30, 60, 50), 2),
        ("ellipse", (40, 52, 60, 72), 0),
    ],
    "umbrella": [
        ("pieslice", (6, 10, 94, 98), 0),
        ("line", (50, 4, 50, 86), 1, 4),
        ("line", (50, 86, 56, 92, 64, 90, 66, 82), 1, 4),
    ],
}


def make_strangers(images: np.ndarray, count: int = COUNT, seed: int = 0) -> dict[str, np.ndarray]:
    """Pictures of no class, by their kind: (count, 32, 32, 3) uint8 each, but of the scrambled ones, made of `images`,
    at most as many as there are of those."""
    kinds: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
        "noise": lambda generator, k: generator.integers(0, 256, (SIDE, SIDE, 3)),
        "flat colours": lambda generator, k: np.broadcast_to(generator.integers(0, 256, 3), (SIDE, SIDE, 3)),
        "writing": lambda generator, k: write_letters(generator),
        "scrambled images": lambda generator, k: scramble(images[k], generator),
        "drawings of other things": lambda generator, k: draw_thing(list(THINGS)[k % len(THINGS)], generator),
    }
    strangers = {}
    for number, (kind, make) in enumerate(kinds.items()):
        generator = np.random.default_rng((seed, number))
        most = min(count, len(images)) if kind == "scrambled images" else count
        strangers[kind] = np.stack([make(generator, k) for k in range(most)]).astype(np.uint8)
    return strangers


def draw_colours(generator: np.random.Generator, count: int) -> list[tuple[int, int, int]]:
    """Colours of which each neighbour in the list can be told from the one before."""
    colours = [generator.integers(0, 256, 3)]
    while len(colours) < count:
        colour = generator.integers(0, 256, 3)
        if np.abs(colour - colours[-1]).sum() > 200:
            colours.append(colour)
    return [tuple(map(int, colour)) for colour in colours]


def write_letters(generator: np.random.Generator) -> np.ndarray:
    """Lines of random letters: (32, 32, 3) uint8."""
    paper, ink = draw_colours(generator, 2)
    page = Image.new("RGB", (2 * SIDE, 2 * SIDE), paper)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default()
    for top in range(-int(generator.integers(0, 8)), 2 * SIDE, 13):
        pen.text((2, top), "".join(generator.choice(list(LETTERS), 12)), ink, font)
    return np.asarray(page.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def scramble(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The image's pieces of PATCH x PATCH pixels, in a random order. image: (32, 32, 3) uint8, and so the result."""
    across = SIDE // PATCH
    pieces = image.reshape(across, PATCH, across, PATCH, 3).swapaxes(1, 2).reshape(-1, PATCH, PATCH, 3)
    mixed = pieces[generator.permutation(len(pieces))].reshape(across, across, PATCH, PATCH, 3)
    return mixed.swapaxes(1, 2).reshape(SIDE, SIDE, 3)


def draw_thing(name: str, generator: np.random.Generator) -> np.ndarray:
    """One of THINGS in random colours, turned by up to 20 degrees, on a background that runs from one colour to
    another: (32, 32, 3) uint8."""
    *ends, first, second, third = draw_colours(generator, 5)
    ramp = np.linspace(0, 1, CANVAS)[:, None, None]
    ground = np.broadcast_to((1 - ramp) * ends[0] + ramp * ends[1], (CANVAS, CANVAS, 3)).astype(np.uint8)
    layer = Image.new("RGBA", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(layer)
    for shape, points, colour, *width in THINGS[name]:
        corners = [coordinate / 100 * CANVAS for coordinate in points]
        ink = (first, second, third)[colour]
        if shape == "line":
            pen.line(corners, ink, round(width[0] / 100 * CANVAS), joint="curve")
        elif shape == "pieslice":
            pen.pieslice(corners, 180, 360, ink)
        else:
            getattr(pen, shape)(corners, ink)
    layer = layer.rotate(generator.uniform(-20, 20), Image.Resampling.BICUBIC)
    drawing = Image.alpha_composite(Image.fromarray(ground).convert("RGBA"), layer).convert("RGB")
    return np.asarray(drawing.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
