"""Alignment: copies fall on the originals, whatever was done to them; other pictures of the same light do not."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cifar100.evaluation import alignment


def draw(count: int, seed: int) -> np.ndarray:
    """Random pictures with soft shapes in them: (count, 32, 32, 3) uint8."""
    coarse = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8))).float()
    planes = F.interpolate(coarse, size=32, mode="bilinear", align_corners=False)
    return planes.permute(0, 2, 3, 1).round().to(torch.uint8).numpy()


def cut(images: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """A part of the pictures, enlarged to 32x32."""
    planes = alignment.to_planes(images[:, rows, columns])
    enlarged = F.interpolate(planes, size=32, mode="bilinear", align_corners=False)
    return enlarged.permute(0, 2, 3, 1).round().to(torch.uint8).numpy()


def align(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """How well each picture falls on its one partner: (N,)."""
    return alignment.refine(moving, fixed, alignment.lay_over(moving, fixed[:, None])[:, 0])


COPIES = {
    "itself": lambda images: images,
    "darker and flatter": lambda images: (images * 0.6 + 20).astype(np.uint8),
    "mirrored": lambda images: images[:, :, ::-1],
    "shifted": lambda images: np.roll(images, (3, -4), (1, 2)),
    "cut to 26x26 off the middle": lambda images: cut(images, slice(1, 27), slice(4, 30)),
    "cut to other proportions": lambda images: cut(images, slice(0, 32), slice(3, 29)),
    "cut, mirrored and darker": lambda images: cut(images, slice(4, 31), slice(2, 29))[:, :, ::-1] // 2,
}


@pytest.mark.parametrize("copy", COPIES)
def test_copies_fall_on_their_originals_both_ways(copy):
    originals = draw(8, 0)
    copies = COPIES[copy](originals)
    assert (align(copies, originals) > 0.9).all() and (align(originals, copies) > 0.9).all()


def test_other_pictures_do_not():
    assert (align(draw(8, 0), draw(8, 1)) < 0.7).all()


def test_two_skies_of_the_same_light_do_not():
    generator = np.random.default_rng(0)
    light = np.linspace(40, 200, 32)[None, :, None, None] * np.ones((2, 1, 32, 3))
    skies = (light + generator.normal(0, 6, light.shape)).clip(0, 255).astype(np.uint8)
    assert align(skies[:1], skies[1:]) < 0.5
    assert align(np.roll(skies[:1], (3, -2), (1, 2))[:, :, ::-1], skies[:1]) > 0.8


def test_each_partner_is_laid_over_on_its_own():
    originals = draw(3, 0)
    partners = np.stack([originals, originals[[1, 2, 0]], originals[:, :, ::-1]], 1)
    overlays = alignment.lay_over(originals, partners)
    assert overlays.correlations.shape == (3, 3) and (overlays.correlations[:, [0, 2]] > 0.99).all()
    assert (overlays.correlations[:, 1] < 0.8).all()
    assert not overlays.mirrored[:, 0].any() and overlays.mirrored[:, 2].all()


def test_a_flat_picture_has_no_details_to_agree():
    assert abs(align(np.full((1, 32, 32, 3), 90, np.uint8), draw(1, 0))) < 0.1
