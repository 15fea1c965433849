"""Examples of augmented images, from the same pipelines as in training."""

from dataclasses import replace

import numpy as np
import torch

from cifar100.dataset.augment_batch import BatchAugmentation
from cifar100.dataset.augment_image import ImageAugmentation
from cifar100.recipe import Augmentation

# The name of each transform, and the fields that turn it on.
TRANSFORMS = {
    "crop": ("crop_padding",),
    "flip": ("flip",),
    "shift, scale, rotate": ("shift", "scale", "rotation"),
    "cutout": ("cutout",),
    "colour jitter": ("jitter",),
    "erasing": ("erasing",),
}
# To apply a transform to every image, whatever the recipe's probability.
ALWAYS = {"affine_probability": 1.0, "cutout_probability": 1.0, "jitter_probability": 1.0}


def list_transforms(augmentation: Augmentation) -> dict[str, Augmentation]:
    """Each transform of the augmentation by name, as an augmentation of its own that is applied to every image."""
    off = {field: getattr(Augmentation(), field) for fields in TRANSFORMS.values() for field in fields}
    nothing, alone = replace(augmentation, **off, **ALWAYS), {}
    for name, fields in TRANSFORMS.items():
        only = replace(nothing, **{field: getattr(augmentation, field) for field in fields})
        if only != nothing:
            alone[name] = replace(only, erasing=1.0) if only.erasing else only
    return alone


def label_transform(name: str, augmentation: Augmentation) -> str:
    """The label of a transform of `list_transforms` in figures, with its strength."""
    a = augmentation
    labels = {
        "crop": f"crop, {a.crop_padding} pixels padded",
        "flip": "flip",
        "shift, scale, rotate": (
            f"shift ±{a.shift:.0%}, zoom {a.scale[0]:g}\nto {a.scale[1]:g}, rotate ±{a.rotation:g}°"
        ),
        "cutout": f"hole of {a.cutout}x{a.cutout}",
        "colour jitter": f"brightness, contrast,\nsaturation ±{a.jitter[0]:.0%}, hue ±{a.jitter[3]:g}",
        "erasing": "one rectangular hole",
    }
    return labels[name]


def draw_augmented(augmentation: Augmentation, images: np.ndarray, epochs: int) -> np.ndarray:
    """Augmented images of seed 0's first epochs, without CutMix: (N, 32, 32, 3) -> (N, epochs, 32, 32, 3), uint8."""
    shown = np.empty((len(images), epochs, *images.shape[1:]), np.uint8)
    if augmentation.pipeline == "albumentations":
        augment = ImageAugmentation(augmentation, 0)
        for index, image in enumerate(images):
            for epoch in range(epochs):
                shown[index, epoch] = augment(image, epoch + 1, index)
        return shown
    batch = BatchAugmentation(augmentation, 0, len(images))
    for epoch in range(epochs):
        batch.start_epoch(epoch + 1, torch.device("cpu"))
        augmented = batch.augment(torch.tensor(images), torch.arange(len(images)))
        shown[:, epoch] = augmented.round().clamp(0, 255).byte().numpy()
    return shown
