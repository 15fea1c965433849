"""From any picture file to the 32x32 pixels that a network sees."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cifar100.errors import UserError

SIDE = 32  # pixels, as CIFAR-100 has them


def open_picture(path: str | Path) -> np.ndarray:
    """The picture's central square, upright, as (S, S, 3) uint8; transparent parts on white.

    Raises UserError if the file is missing or no picture.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be opened as a picture ({error}): name a PNG or JPEG file.") from error
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    side = min(picture.size)
    return np.asarray(ImageOps.fit(picture, (side, side)))


def shrink(picture: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 -> (32, 32, 3) uint8, as CIFAR-100's photographs were shrunk: with antialiasing."""
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
