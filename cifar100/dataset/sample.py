"""The embedded sample: a small CIFAR-100 look-alike, drawn in seconds by NumPy alone.

Every image shows one object on a cluttered background. The silhouette depends on the superclass (a whale, a fish, ...),
hue and pattern depend on the class. Every pair of hue and pattern occurs in several superclasses, so that a network
needs all three. The background does not depend on the class.
"""

from collections.abc import Callable

import numpy as np

from cifar100.dataset.official import Images

SIZE = 32  # pixels
IMAGES_PER_CLASS = {"train": 50, "test": 10}
AREAS = (90, 240)  # of an object, in pixels: always less than a third of the image
SUPERSAMPLING = 3  # points per pixel and axis; odd, so that no pixel is half covered
STENCIL_SIZE, STENCIL_SPAN = 160, 2.2  # side in cells and in units; wider than -1..1, so that the border is empty
DISTRACTORS = 4  # blobs in a background, and as many lines
PATTERN_FREQUENCY = 0.19  # periods per pixel: fine, but visible at 32 pixels
HUES = (0.0, 0.13, 0.36, 0.58, 0.83)  # red, amber, green, blue, magenta; in turns of the colour wheel
OUTFITS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2))  # hue and pattern of each class


def box(left, top, right, bottom):
    """The corners of an upright rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


# The silhouettes of the superclasses, by coarse label: unions of parts. A part is an ellipse (centre x, centre y,
# radius x, radius y) or a polygon [corners]; x runs right and y runs down, both from -1 to 1.
# fmt: off
SILHOUETTES = {
    "whale": [[(-1, 0.1), (-0.75, -0.35), (-0.3, -0.5), (0.2, -0.35), (0.6, -0.1), (0.62, -0.45), (0.3, -0.8),
               (0.75, -0.65), (1, -0.85), (0.85, -0.3), (0.85, 0.2), (0.5, 0.6), (-0.8, 0.6)]],
    "fish": [(-0.25, 0, 0.75, 0.5), [(0.2, 0), (1, -0.7), (0.8, 0), (1, 0.7)],
             [(-0.5, -0.3), (0.1, -0.85), (0.2, -0.3)]],
    "flower": [(0.62 * np.cos(turn), 0.62 * np.sin(turn), 0.36, 0.36) for turn in np.arange(0.3, 6, 2 * np.pi / 5)]
    + [(0, 0, 0.35, 0.35)],
    "cup": [[(-0.9, -0.7), (0.4, -0.7), (0.3, 0.8), (-0.8, 0.8)],
            [(0.3, -0.5), (1, -0.5), (1, 0.5), (0.3, 0.5), (0.3, 0.22), (0.7, 0.22), (0.7, -0.22), (0.3, -0.22)]],
    "cherries": [(-0.5, 0.5, 0.46, 0.46), (0.54, 0.44, 0.46, 0.46), (0.45, -0.75, 0.5, 0.24),
                 [(-0.5, 0.5), (-0.08, -0.95), (0.14, -0.95), (0.6, 0.4), (0.4, 0.4), (0.02, -0.5), (-0.3, 0.5)]],
    "lamp": [[(-0.4, -1), (0.4, -1), (0.85, 0.1), (-0.85, 0.1)], box(-0.16, 0, 0.16, 0.8), box(-0.55, 0.7, 0.55, 1)],
    "chair": [box(-0.75, -1, -0.35, 1), box(-0.75, -0.1, 0.75, 0.35), box(0.38, 0, 0.75, 1)],
    "butterfly": [(-0.58, -0.35, 0.44, 0.55), (0.58, -0.35, 0.44, 0.55), (-0.4, 0.5, 0.3, 0.36), (0.4, 0.5, 0.3, 0.36),
                  (0, 0.05, 0.14, 0.7)],
    "cat": [(0, 0.2, 0.85, 0.7), [(-0.85, 0.2), (-0.8, -1), (-0.1, -0.3)], [(0.85, 0.2), (0.8, -1), (0.1, -0.3)]],
    "castle": [[(-0.8, 0.85), (-0.8, -0.9), (-0.42, -0.9), (-0.42, -0.45), (-0.19, -0.45), (-0.19, -0.9), (0.19, -0.9),
                (0.19, -0.45), (0.42, -0.45), (0.42, -0.9), (0.8, -0.9), (0.8, 0.85), (0.25, 0.85), (0.25, 0.25),
                (-0.25, 0.25), (-0.25, 0.85)]],
    "mountain": [[(-1, 0.6), (-0.4, -0.75), (-0.02, 0.0), (0.35, -0.4), (1, 0.6)]],
    "camel": [box(-0.5, -0.1, 0.8, 0.35), (-0.05, -0.15, 0.25, 0.4), (0.5, -0.15, 0.25, 0.4), box(-0.5, 0, -0.2, 1),
              box(0.5, 0, 0.8, 1), [(-0.4, 0.3), (-0.5, -0.4), (-1, -0.4), (-1, -0.8), (-0.45, -0.8), (-0.1, 0.1)]],
    "fox": [[(-0.95, -0.95), (-0.4, -0.5), (0.4, -0.5), (0.95, -0.95), (0.85, 0), (0, 1), (-0.85, 0)]],
    "snail": [(0.3, -0.12, 0.62, 0.62), [(-0.95, 0.8), (-0.75, 0.35), (0.7, 0.35), (1.05, 0.8)],
              [(-0.95, 0.8), (-1, -0.8), (-0.75, -0.3), (-0.45, -0.8), (-0.55, 0.8)]],
    "person": [(0, -0.68, 0.32, 0.32), box(-0.85, -0.3, 0.85, 0.02), box(-0.35, -0.3, 0.35, 0.4),
               [(-0.35, 0.3), (0.35, 0.3), (0.6, 1), (0.2, 1), (0, 0.6), (-0.2, 1), (-0.6, 1)]],
    "snake": [[(x, 0.5 * np.sin(4.5 * x) - 0.27) for x in np.linspace(-1, 1, 24)]
              + [(x, 0.5 * np.sin(4.5 * x) + 0.27) for x in np.linspace(1, -1, 24)]],
    "mouse": [(0, 0.35, 0.56, 0.56), (-0.56, -0.42, 0.42, 0.42), (0.56, -0.42, 0.42, 0.42)],
    "tree": [[(0, -1), (0.5, -0.3), (-0.5, -0.3)], [(0, -0.6), (0.7, 0.2), (-0.7, 0.2)],
             [(0, -0.2), (0.85, 0.7), (-0.85, 0.7)], box(-0.18, 0.6, 0.18, 1)],
    "car": [box(-1, -0.05, 1, 0.35), [(-0.7, 0), (-0.4, -0.5), (0.35, -0.5), (0.6, 0)], (-0.52, 0.4, 0.27, 0.27),
            (0.52, 0.4, 0.27, 0.27)],
    "rocket": [[(0, -1), (0.35, -0.4), (0.35, 0.3), (0.8, 1), (0.25, 0.75), (-0.25, 0.75), (-0.8, 1), (-0.35, 0.3),
                (-0.35, -0.4)]],
}
# fmt: on

# Functions of x and y, in periods, with values of about -1..1: light where negative, dark where positive.
PATTERNS = (
    lambda x, y: np.full_like(x, -1),  # plain
    lambda x, y: np.sin(2 * np.pi * x),  # upright stripes
    lambda x, y: 2 * np.sin(np.pi * x) * np.sin(np.pi * y),  # checks
    lambda x, y: y / 3,  # shaded from top to bottom
    lambda x, y: np.sin(2 * np.pi * y),  # hoops
)


def make_sample(coarse_of_fine: np.ndarray, split: str) -> Images:
    """The sample's "train" (5,000 images) or "test" (1,000) split, shuffled; the same bytes each time.
    coarse_of_fine: (100,) int, the superclass 0..19 of each class."""
    count = IMAGES_PER_CLASS[split]
    generator = np.random.default_rng((0, list(IMAGES_PER_CLASS).index(split)))

    def uniform(low, high):
        return generator.uniform(low, high, (count, 1, 1))  # one number per image of a class

    coarse_of_fine = np.asarray(coarse_of_fine, np.int64)
    stencils = [make_stencil(parts) for parts in SILHOUETTES.values()]
    images, masks = [], []
    for fine, coarse in enumerate(coarse_of_fine):
        rank = np.count_nonzero(coarse_of_fine[:fine] == coarse)
        drawn = draw_backgrounds(uniform)
        coverage, colours = draw_objects(uniform, stencils[coarse], *choose_outfit(coarse, rank))
        drawn += coverage[..., None] * (colours - drawn)
        drawn *= uniform(0.8, 1.1)[..., None]
        drawn += generator.normal(0, 0.02, drawn.shape)
        images.append(np.rint(255 * drawn.clip(0, 1)).astype(np.uint8))
        masks.append(coverage > 0.5)
    fine = np.repeat(np.arange(len(coarse_of_fine)), count)
    order = generator.permutation(len(fine))
    images, masks, fine = np.concatenate(images)[order], np.concatenate(masks)[order], fine[order]
    return Images(images, fine, coarse_of_fine[fine], masks)


def choose_outfit(coarse: int, rank: int) -> tuple[float, Callable]:
    """Hue and pattern of a class; rank: its number in the superclass, 0..4."""
    which_hue, which_pattern = OUTFITS[rank]
    # Each of the twenty superclasses has one of the twenty ordered pairs of different hues.
    hue = coarse + which_hue * (1 + coarse // 5)
    pattern = 2 * coarse + coarse // 5 + which_pattern
    return HUES[hue % 5], PATTERNS[pattern % 5]


def make_stencil(parts: list) -> np.ndarray:
    """The union of the parts: (STENCIL_SIZE, STENCIL_SIZE) bool, rows from top to bottom."""
    y, x = np.mgrid[:STENCIL_SIZE, :STENCIL_SIZE] / (STENCIL_SIZE - 1) * STENCIL_SPAN - STENCIL_SPAN / 2
    stencil = np.zeros(x.shape, bool)
    for part in parts:
        if isinstance(part, tuple):
            centre_x, centre_y, radius_x, radius_y = part
            stencil |= np.hypot((x - centre_x) / radius_x, (y - centre_y) / radius_y) <= 1
            continue
        inside = np.zeros(x.shape, bool)
        for (x0, y0), (x1, y1) in zip(part, part[1:] + part[:1]):
            if y0 != y1:  # inside is where a ray to the right crosses the outline an odd number of times
                inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (x1 - x0) * (y - y0) / (y1 - y0))
        stencil |= inside
    return stencil


def draw_objects(uniform: Callable, stencil: np.ndarray, hue: float, pattern: Callable) -> tuple:
    """The fraction of each pixel that the object covers, (N, 32, 32), and its colours, (N, 32, 32, 3), both 0..1."""
    # The area is random, not the width, so that thin silhouettes get as many pixels as others.
    scale = np.sqrt(uniform(*AREAS) / (stencil.mean() * STENCIL_SPAN**2))  # pixels per unit of the stencil
    reach = SIZE / 2 + 2 - scale  # of the centre, in pixels; the object may leave the image slightly
    centre_x, centre_y = SIZE / 2 + reach * uniform(-1, 1), SIZE / 2 + reach * uniform(-1, 1)
    angle, mirror = uniform(-0.4, 0.4), np.sign(uniform(-1, 1))

    def to_object(points):  # positions in the image -> pixels from the object's centre, along its axes
        x, y = points - centre_x, points[:, None] - centre_y
        return mirror * (np.cos(angle) * x + np.sin(angle) * y), np.cos(angle) * y - np.sin(angle) * x

    def to_cell(axis):
        cell = (axis / (scale * STENCIL_SPAN) + 0.5) * (STENCIL_SIZE - 1)
        return np.rint(cell).astype(int).clip(0, STENCIL_SIZE - 1)

    x, y = to_object((np.arange(SIZE * SUPERSAMPLING) + 0.5) / SUPERSAMPLING)
    coverage = stencil[to_cell(y), to_cell(x)].reshape(-1, SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING).mean((2, 4))

    x, y = to_object(np.arange(SIZE) + 0.5)
    frequency = PATTERN_FREQUENCY * uniform(0.9, 1.1)
    darkness = uniform(0.3, 0.75) * (0.5 + 1.5 * pattern(x * frequency, y * frequency)).clip(0, 1)
    return coverage, make_rgb(hue + uniform(-0.04, 0.04), uniform(0.7, 1), uniform(0.75, 1) * (1 - darkness))


def draw_backgrounds(uniform: Callable) -> np.ndarray:
    """Gradients with ripples, blobs and lines in any colour, (N, 32, 32, 3), about 0..1."""

    def draw_axis(reach):  # (N, 32, 32): signed distance from a line within `reach` pixels of the centre
        angle, position = uniform(0, 2 * np.pi), np.arange(SIZE) + 0.5 - SIZE / 2
        return np.cos(angle) * position + np.sin(angle) * position[:, None] + uniform(-reach, reach)

    def draw_colour():
        return make_rgb(uniform(0, 1), uniform(0.1, 0.9), uniform(0.25, 0.95))

    def paint(images, amount):  # amount: (N, 32, 32), opaque at 1
        return images + amount.clip(0, 1)[..., None] * (draw_colour() - images)

    images = paint(draw_colour(), draw_axis(0) / 36 + 0.5)
    for _ in range(3):
        images += 0.04 * np.sin(uniform(0.3, 1.3) * draw_axis(16))[..., None]
    for _ in range(DISTRACTORS):
        # The two axes are rarely perpendicular, which makes the circle an ellipse.
        images = paint(images, uniform(1.5, 6) - np.hypot(draw_axis(18), draw_axis(18)) + 0.5)
        images = paint(images, uniform(0.3, 1) - abs(draw_axis(18)) + 0.5)
    return images


def make_rgb(hue, saturation, value) -> np.ndarray:
    """RGB in 0..1, on a new last axis, from arrays of hue (in turns), saturation and value (0..1)."""
    sextant = (np.array((5, 3, 1)) + 6 * hue[..., None]) % 6
    return value[..., None] * (1 - saturation[..., None] * np.minimum(sextant, 4 - sextant).clip(0, 1))
