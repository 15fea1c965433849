"""Example pictures for the demo, drawn here, because none of the data set's photographs may be shipped."""

from collections.abc import Callable
from math import cos, pi, sin

from PIL import Image, ImageColor, ImageDraw, ImageFilter

SIDE = 192  # pixels: six times what the network sees, so that the page shows how much is lost
SUPERSAMPLING = 2  # points a pixel, along each axis
Point = tuple[float, float]  # x to the right, y down; the picture runs from 0 to 1
Box = tuple[float, float, float, float]  # left, top, right, bottom


def make_drawings() -> dict[str, Image.Image]:
    """The pictures by what they are meant to show, (SIDE, SIDE) RGB. The same pixels each time."""
    return {name: draw(paint) for name, paint in SCENES.items()}


def draw(paint: Callable) -> Image.Image:
    """What `paint` puts on a canvas, softened, as a photograph is."""
    canvas = Canvas(Image.new("RGB", (SIDE * SUPERSAMPLING,) * 2, "white"))
    paint(canvas)
    return canvas.image.filter(ImageFilter.GaussianBlur(2)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


class Canvas:
    """A picture in the making. Shapes shade from a light colour to a dark one."""

    def __init__(self, image: Image.Image):
        self.image = image

    def fill(self, box: Box, light: str, dark: str, shape: str = "rectangle") -> None:
        """A rectangle or an ellipse, light at its top."""
        mask = Image.new("L", self.image.size)
        getattr(ImageDraw.Draw(mask), shape)(self.scale(box), fill=255)
        self.blend(mask, light, dark, box[1], box[3])

    def ball(self, box: Box, light: str, dark: str) -> None:
        """An ellipse, lit from the upper left."""
        left, top, right, bottom = box
        for share in (k / 40 for k in range(40)):  # ever smaller ellipses, ever closer to the light
            x, y = left + 0.2 * share * (right - left), top + 0.2 * share * (bottom - top)
            corner = (x + (1 - share) * (right - left), y + (1 - share) * (bottom - top))
            pairs = zip(ImageColor.getrgb(dark), ImageColor.getrgb(light))
            colour = tuple(round((1 - share) * a + share * b) for a, b in pairs)
            ImageDraw.Draw(self.image).ellipse(self.scale((x, y, *corner)), fill=colour)

    def polygon(self, corners: list[Point], light: str, dark: str) -> None:
        """Light at its highest corner."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(self.scale([value for corner in corners for value in corner]), fill=255)
        heights = [y for _, y in corners]
        self.blend(mask, light, dark, min(heights), max(heights))

    def line(self, start: Point, end: Point, width: float, colour: str) -> None:
        ImageDraw.Draw(self.image).line(self.scale((*start, *end)), fill=colour, width=round(width * self.image.width))

    def blend(self, mask: Image.Image, light: str, dark: str, top: float, bottom: float) -> None:
        """Colour what the mask names, light at `top`, dark at `bottom`."""
        size = self.image.size
        ramp = Image.new("L", (1, size[1]))
        ramp.putdata([round(255 * min(max((y / size[1] - top) / (bottom - top), 0), 1)) for y in range(size[1])])
        colours = Image.composite(Image.new("RGB", size, dark), Image.new("RGB", size, light), ramp.resize(size))
        self.image.paste(colours, mask=mask)

    def scale(self, values) -> list[float]:
        return [value * self.image.width for value in values]


WHOLE = (0, 0, 1, 1)


def paint_apple(canvas: Canvas) -> None:
    canvas.fill((0.2, 0.82, 0.85, 0.93), "#d8d8d8", "#f4f4f4", "ellipse")
    canvas.ball((0.14, 0.22, 0.6, 0.9), "#ff8a70", "#a80d12")
    canvas.ball((0.4, 0.22, 0.86, 0.9), "#ff8a70", "#a80d12")
    canvas.ball((0.2, 0.26, 0.8, 0.9), "#ff9078", "#b81018")
    canvas.line((0.5, 0.32), (0.55, 0.1), 0.03, "#5a3a1a")
    canvas.polygon([(0.54, 0.2), (0.66, 0.08), (0.8, 0.1), (0.7, 0.2)], "#7fbf3f", "#3f7f1f")


def paint_orange(canvas: Canvas) -> None:
    canvas.fill((0.15, 0.82, 0.9, 0.95), "#d4d0c8", "#f4f2ee", "ellipse")
    canvas.ball((0.1, 0.1, 0.9, 0.9), "#ffc860", "#e87800")
    canvas.fill((0.46, 0.2, 0.52, 0.25), "#7a8a30", "#5a6a20", "ellipse")


def paint_sunflower(canvas: Canvas) -> None:
    canvas.fill(WHOLE, "#4a90e0", "#9cc8f0")
    canvas.line((0.5, 0.5), (0.5, 1), 0.05, "#3f7f1f")
    for radius, colours, shift in ((0.4, ("#ffc000", "#e89800"), 0), (0.36, ("#ffd830", "#f8b800"), 0.5)):
        for k in range(18):
            turn = 2 * pi * (k + shift) / 18
            tip = (0.5 + radius * cos(turn), 0.45 + radius * sin(turn))
            sides = [(0.5 + 0.26 * cos(turn + d), 0.45 + 0.26 * sin(turn + d)) for d in (-0.2, 0.2)]
            canvas.polygon([(0.5, 0.45), sides[0], tip, sides[1]], *colours)
    canvas.ball((0.32, 0.27, 0.68, 0.63), "#7a4a1a", "#3a2008")


def paint_sea(canvas: Canvas) -> None:
    canvas.fill((0, 0, 1, 0.5), "#5aa0e0", "#d8ecf8")
    canvas.fill((0, 0.48, 1, 1), "#3a78a8", "#123c68")
    for k in range(40):
        y = 0.5 + 0.5 * (k / 40) ** 1.5
        x = (k * 0.381966) % 1
        canvas.line((x - 0.1, y), (x + 0.1, y), 0.006 + 0.01 * k / 40, "#7fb0d0" if k % 2 else "#1c4c78")


def paint_mountain(canvas: Canvas) -> None:
    canvas.fill(WHOLE, "#3f86d8", "#c8e0f4")
    canvas.polygon([(-0.1, 0.85), (0.2, 0.4), (0.35, 0.5), (0.6, 0.85)], "#8a94a8", "#5a6478")
    canvas.polygon([(0.05, 0.9), (0.42, 0.3), (0.55, 0.12), (0.68, 0.32), (1.1, 0.9)], "#78808c", "#464c58")
    snow = [(0.38, 0.37), (0.55, 0.12), (0.7, 0.35), (0.62, 0.33), (0.57, 0.42), (0.5, 0.34), (0.45, 0.42)]
    canvas.polygon(snow, "#ffffff", "#dde6f0")
    canvas.fill((0, 0.82, 1, 1), "#4a6a3a", "#2a4420")


def paint_clock(canvas: Canvas) -> None:
    canvas.fill(WHOLE, "#d8d2c4", "#bcb4a4")
    canvas.ball((0.1, 0.1, 0.9, 0.9), "#5a5a60", "#202024")
    canvas.fill((0.16, 0.16, 0.84, 0.84), "#ffffff", "#e8e8e4", "ellipse")
    for k in range(12):
        turn = 2 * pi * k / 12
        start, end = ((0.5 + r * cos(turn), 0.5 + r * sin(turn)) for r in (0.26, 0.31))
        canvas.line(start, end, 0.025, "#202020")
    canvas.line((0.5, 0.5), (0.36, 0.4), 0.035, "#101010")
    canvas.line((0.5, 0.5), (0.68, 0.34), 0.025, "#101010")


SCENES = {
    "apple": paint_apple,
    "orange": paint_orange,
    "sunflower": paint_sunflower,
    "sea": paint_sea,
    "mountain": paint_mountain,
    "clock": paint_clock,
}
