"""What an augmentation makes of pictures, drawn by the very pipelines that train."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from cifar100.dataset.augment_batch import BatchAugmentation, mix
from cifar100.dataset.augment_image import ImageAugmentation
from cifar100.dataset.cifar import FINE_NAMES, load_split, readable
from cifar100.errors import UserError
from cifar100.recipe import Augmentation
from cifar100.recipes import RECIPES
from cifar100.report.describe import describe_augmentation
from cifar100.training.trainer import make_trainer

# What each transform is called, and the fields that it takes from an augmentation.
TRANSFORMS = {
    "crop": ("crop_padding", "crop_border"),
    "flip": ("flip",),
    "shift, scale, rotate": ("shift", "scale", "rotation"),
    "cutout": ("cutout", "cutout_anywhere", "hole_color"),
    "colour jitter": ("jitter",),
    "erasing": ("erasing", "hole_color"),
}


def list_transforms(augmentation: Augmentation) -> dict[str, Augmentation]:
    """Each transform that the augmentation uses, by name: alone, and applied to every picture."""
    nothing = Augmentation(pipeline=augmentation.pipeline)
    alone = {}
    for name, used in TRANSFORMS.items():
        only = replace(nothing, **{field: getattr(augmentation, field) for field in used})
        # The border without a crop does nothing, nor does the colour without a hole.
        if replace(only, crop_border="black", hole_color="black") != nothing:
            alone[name] = replace(only, erasing=1.0 if only.erasing else 0.0)
    return alone


def label_transform(name: str, augmentation: Augmentation) -> str:
    """What a figure calls a transform of `list_transforms`: with its strength."""
    a = augmentation
    labels = {
        "crop": f"crop from {a.crop_padding} pixels more",
        "flip": "flip",
        "shift, scale, rotate": (
            f"shift ±{a.shift:.0%}, zoom {a.scale[0]:g}\nto {a.scale[1]:g}, rotate ±{a.rotation:g}°"
        ),
        "cutout": f"hole of {a.cutout}x{a.cutout}",
        "colour jitter": f"brightness, contrast, satu-\nration ±{a.jitter[0]:.0%}, hue ±{a.jitter[3]:g}",
        "erasing": "one hole of any shape",
    }
    return labels[name]


def draw_augmented(augmentation: Augmentation, images: np.ndarray, epochs: int, seed: int = 0) -> np.ndarray:
    """What the network sees of the pictures in the first epochs, mixing aside.

    images: (N, 32, 32, 3) uint8 -> (N, epochs, 32, 32, 3) uint8.
    """
    shown = np.empty((len(images), epochs, *images.shape[1:]), np.uint8)
    if augmentation.pipeline == "albumentations":
        augment = ImageAugmentation(augmentation, seed)
        for index, image in enumerate(images):
            for epoch in range(epochs):
                shown[index, epoch] = augment(image, epoch + 1, index)
        return shown
    batch = BatchAugmentation(augmentation, seed, len(images))
    for epoch in range(epochs):
        batch.start_epoch(epoch + 1, torch.device("cpu"))
        augmented = batch.augment(torch.tensor(images), torch.arange(len(images)))
        shown[:, epoch] = augmented.round().clamp(0, 255).byte().numpy()
    return shown


def draw_mixed(augmentation: Augmentation, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The pictures of one batch as CutMix or mixup leaves them, always applied, and in words what each is now.

    images: (N, 32, 32, 3) uint8; labels: (N,) -> (N, 32, 32, 3) uint8 and "apple 62%, bowl 38%". Raises UserError if
    the augmentation mixes nothing.
    """
    if not augmentation.cutmix_alpha:
        raise UserError("This augmentation mixes nothing: name one with cutmix_alpha.")
    batch = torch.tensor(images).permute(0, 3, 1, 2).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixed, shares = mix(batch, torch.tensor(labels), replace(augmentation, mix_probability=1.0))
    captions = []
    for row in shares:
        parts = [(row[k].item(), FINE_NAMES[k]) for k in row.nonzero().flatten()]
        captions.append(",\n".join(f"{readable(name)} {share:.0%}" for share, name in sorted(parts, reverse=True)))
    return mixed.permute(0, 2, 3, 1).round().byte().numpy(), captions


def describe_pipelines(data: str | None = None) -> Iterator[str]:
    """Two lines a recipe: its augmentation, and the first batch that comes out of its pipeline. Raises UserError if
    there is no data."""
    from cifar100.bench import each_input

    training = load_split("train", data)
    for recipe in RECIPES.values():
        inputs = next(iter(each_input(make_trainer(recipe, training, torch.device("cpu"), num_workers=0))))
        kind = str(inputs.dtype).removeprefix("torch.")
        yield f"{recipe.name}: {describe_augmentation(recipe)}"
        yield (
            f"    a batch: {tuple(inputs.shape)} {kind}, mean {inputs.mean():.3f}, deviation {inputs.std():.3f}, "
            f"from {inputs.min():.2f} to {inputs.max():.2f}"
        )
