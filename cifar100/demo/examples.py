"""Example images for the demo: drawings, because none of the data set's photographs may be shipped."""

from pathlib import Path

from PIL import Image

DRAWINGS = sorted(Path(__file__).with_name("drawings").glob("*.png"))  # 192x192 pixels: six times what the network sees


def load_drawings() -> dict[str, Image.Image]:
    """The drawings by what they are meant to show, RGB."""
    return {path.stem: Image.open(path).convert("RGB") for path in DRAWINGS}
