"""The augmentations of augment_image.py for whole batches, on the device of the network.

images: (N, 32, 32, 3), values in 0..255; parameters of each image: (N,).
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from cifar100.dataset.augment_image import ERASING_AREA, ERASING_RATIO, make_generator, mean_and_std, to_input
from cifar100.dataset.cifar import FINE_NAMES
from cifar100.recipe import Augmentation

COLUMNS = (
    *("row", "column", "flip", "affine", "right", "down", "scale", "angle", "cutout", "cutout_top", "cutout_left"),
    *("jitter", "brightness", "contrast", "saturation", "hue"),
    *("erasing", "area", "ratio", "erasing_top", "erasing_left"),
)  # the use of each random number of an image, uniform in 0..1


class BatchAugmentation:
    """An Augmentation without its CutMix, for batches of a training set of `count` images."""

    def __init__(self, augmentation: Augmentation, seed: int, count: int):
        self.augmentation, self.seed, self.count = augmentation, seed, count

    def start_epoch(self, epoch: int, device: torch.device) -> None:
        """Draw the epoch's random numbers on the device: (count, columns) float32 in 0..1."""
        draws = torch.rand(self.count, len(COLUMNS), generator=make_generator(self.seed, epoch, 0))
        if self.augmentation.flip == "alternating":
            # Jordan 2024, section 3.6: in two epochs each image is seen exactly once with and once without a flip.
            first = torch.rand(self.count, generator=make_generator(self.seed, 1))
            draws[:, COLUMNS.index("flip")] = first if epoch % 2 else 1 - first
        self.draws = draws.to(device)

    def __call__(self, images: Tensor, indices: Tensor, pixels: int = 32) -> Tensor:
        """images: uint8; indices: int64, in the training set -> (N, 3, pixels, pixels) float32, normalised."""
        return to_input(self.augment(images, indices), pixels)

    def augment(self, images: Tensor, indices: Tensor) -> Tensor:
        """images: uint8 -> augmented images, uint8 or float32 in 0..255."""
        a, draws = self.augmentation, dict(zip(COLUMNS, self.draws[indices].T))

        def chosen(name: str, probability: float) -> Tensor:
            return (draws[name] < probability)[:, None, None, None]

        def between(name: str, low: float, high: float) -> Tensor:
            return low + draws[name] * (high - low)

        def around(name: str, reach: float) -> Tensor:  # -reach..reach
            return (2 * draws[name] - 1) * reach

        def cut_out(images: Tensor) -> Tensor:
            side, outside = a.cutout * (draws["cutout"] < a.cutout_probability), a.cutout // 2 * a.cutout_anywhere
            return fill_hole(images, draws["cutout_top"], draws["cutout_left"], side, side, a.hole_color, outside)

        if a.crop_padding or a.flip != "none":
            span = 2 * a.crop_padding + 1
            shifts = (torch.stack((draws["row"], draws["column"]), 1) * span).long() - a.crop_padding
            flips = draws["flip"] < (0.0 if a.flip == "none" else 0.5)
            images = crop_and_flip(images, shifts, flips, a.crop_border)
        if a.affine:
            angle = torch.deg2rad(around("angle", a.rotation))
            right, down, scale = around("right", a.shift), around("down", a.shift), between("scale", *a.scale)
            moved = move(images.float(), right, down, scale, angle)
            images = torch.where(chosen("affine", a.affine_probability), moved, images.float())
        if a.cutout and a.hole_color == "black":
            images = cut_out(images)
        if any(a.jitter):
            factors = [1 + around(k, j) for k, j in zip(("brightness", "contrast", "saturation"), a.jitter)]
            changed = jitter(images.float(), *factors)
            if a.jitter[3]:
                changed = turn_hue(changed, around("hue", a.jitter[3]))
            images = torch.where(chosen("jitter", a.jitter_probability), changed, images.float())
        if a.cutout and a.hole_color == "mean":  # after the jitter, which would change the colour of the hole
            images = cut_out(images)
        if a.erasing:
            area, ratio = 32 * 32 * between("area", *ERASING_AREA), between("ratio", *ERASING_RATIO)
            sides = (area / ratio).sqrt(), (area * ratio).sqrt()
            height, width = ((side.round() * (draws["erasing"] < a.erasing)).clamp(max=32) for side in sides)
            images = fill_hole(images, draws["erasing_top"], draws["erasing_left"], height, width, a.hole_color)
        return images


def crop_and_flip(images: Tensor, shifts: Tensor, flips: Tensor, border: str = "reflect") -> Tensor:
    """Pad, crop and flip at once. shifts: (N, 2) int64 pixels, down and to the right, less than 32; flips: bool;
    border: the padding, "reflect" or "black"."""
    count, height, width, _ = images.shape
    rows = torch.arange(height, device=images.device) + shifts[:, :1]  # (N, H)
    columns = torch.arange(width, device=images.device).expand(count, width)
    columns = torch.where(flips[:, None], columns.flip(1), columns) + shifts[:, 1:]  # (N, W)
    batch = torch.arange(count, device=images.device)[:, None, None]
    inner_rows = (height - 1) - ((height - 1) - rows.abs()).abs()  # reflected about the first and last pixel
    inner_columns = (width - 1) - ((width - 1) - columns.abs()).abs()
    windows = images[batch, inner_rows[:, :, None], inner_columns[:, None, :]]
    if border == "reflect":
        return windows
    inside = (rows == inner_rows)[:, :, None] & (columns == inner_columns)[:, None, :]
    return windows * inside[..., None]


def move(images: Tensor, right: Tensor, down: Tensor, scale: Tensor, angle: Tensor) -> Tensor:
    """Rotate and scale each image about its centre, then shift it; the outside is black. images: float32; right, down:
    fractions of the side; angle: radians, clockwise."""
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # grid_sample needs the inverse transform, from output to input, in coordinates from -1 to 1.
    x = -2 * (cos * right + sin * down)
    y = -2 * (-sin * right + cos * down)
    matrices = torch.stack((torch.stack((cos, sin, x), 1), torch.stack((-sin, cos, y), 1)), 1)  # (N, 2, 3)
    nchw = images.permute(0, 3, 1, 2)
    grid = F.affine_grid(matrices, list(nchw.shape), align_corners=False)
    moved = F.grid_sample(nchw, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.permute(0, 2, 3, 1).clamp(0, 255)  # rounding may leave the range slightly


def fill_hole(
    images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, color: str, outside: int = 0
) -> Tensor:
    """Fill a rectangle in each image, black or with the mean colour of the training set. top, left: its position, 0..1,
    in the image with `outside` more pixels on each side, which are cut off; height, width: pixels, 0 for none."""
    positions = torch.arange(32, device=images.device)

    def within(start: Tensor, length: Tensor) -> Tensor:
        first = (start * (32 + 2 * outside + 1 - length)).floor()[:, None] - outside
        return (positions >= first) & (positions < first + length[:, None])

    hole = (within(top, height)[:, :, None] & within(left, width)[:, None, :])[..., None]
    if color == "black":
        return images * ~hole
    return torch.where(hole, mean_and_std(images.device)[0].view(3), images.float())


def make_grey(images: Tensor) -> Tensor:
    """The luma of ITU-R 601: (N, H, W, 3) -> (N, H, W, 1)."""
    red, green, blue = images.split(1, dim=-1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def jitter(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Multiply the image (brightness), its difference from the mean grey (contrast) and from its grey version
    (saturation) by a factor, each clipped to 0..255. images: float32."""
    brightness, contrast, saturation = (f[:, None, None, None] for f in (brightness, contrast, saturation))
    images = (images * brightness).clamp(0, 255)
    grey = make_grey(images).mean((1, 2), keepdim=True)
    images = (grey + contrast * (images - grey)).clamp(0, 255)
    grey = make_grey(images)
    return (grey + saturation * (images - grey)).clamp(0, 255)


def turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue of each image; value and chroma stay the same. turn: fraction of a full turn."""
    red, green, blue = images.unbind(-1)
    value = images.amax(-1)
    chroma = value - images.amin(-1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    hue = torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)  # in sixths of a turn
    hue = torch.where(value == red, (green - blue) / safe, hue) + 6 * turn[:, None, None]
    k = torch.stack((5 + hue, 3 + hue, 1 + hue), -1) % 6
    return value[..., None] - chroma[..., None] * torch.minimum(k, 4 - k).clamp(0, 1)


def mix(inputs: Tensor, labels: Tensor, augmentation: Augmentation) -> tuple[Tensor, Tensor]:
    """Apply the recipe's CutMix (Yun et al. 2019) to a batch, with torch's global generator. Returns the inputs and the
    targets: (N,) labels for a recipe without CutMix, else (N, 100), the share of each class."""
    if augmentation.cutmix_alpha is None:
        return inputs, labels
    if torch.rand(()) >= augmentation.mix_probability:
        return inputs, F.one_hot(labels, len(FINE_NAMES)).to(inputs.dtype)
    torch.randint(1, ())  # advances the generator: the published CutMix runs need it to be reproducible
    return v2.CutMix(alpha=augmentation.cutmix_alpha, num_classes=len(FINE_NAMES))(inputs, labels)
