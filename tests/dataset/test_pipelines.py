"""Both pipelines of an Augmentation do what the recipe says, and the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cifar100.dataset.augment_batch import BatchAugmentation, fill_hole, jitter, move, turn_hue
from cifar100.dataset.augment_image import ImageAugmentation, to_input
from cifar100.dataset.cifar import COARSE_OF_FINE
from cifar100.dataset.sample import make_sample
from cifar100.recipe import Augmentation
from cifar100.recipes import RECIPES

CPU = torch.device("cpu")
WHITE = np.full((200, 32, 32, 3), 255, np.uint8)
EVERYTHING = replace(RECIPES["resnet56_multistep"].augmentation, crop_padding=4, erasing=0.5)


def apply(augmentation: Augmentation, images: np.ndarray, epoch: int = 1, seed: int = 0) -> np.ndarray:
    """Augment (N, 32, 32, 3) uint8 images by the pipeline that the augmentation names; 0..255."""
    if augmentation.pipeline == "albumentations":
        one = ImageAugmentation(augmentation, seed)
        return np.stack([one(image, epoch, k) for k, image in enumerate(images)]).astype(np.float32)
    batch = BatchAugmentation(augmentation, seed, len(images))
    batch.start_epoch(epoch, CPU)
    return batch.augment(torch.from_numpy(images), torch.arange(len(images))).float().numpy()


def both(**fields) -> list[Augmentation]:
    return [Augmentation(pipeline=pipeline, **fields) for pipeline in ("device", "albumentations")]


@pytest.fixture(scope="module")
def sample_images():
    return make_sample(COARSE_OF_FINE, "test").images


@pytest.mark.parametrize("augmentation", both(cutout=16, cutout_probability=0.5))
def test_the_hole_is_16_by_16_and_wholly_inside(augmentation):
    holes = (apply(augmentation, WHITE) == 0).all(3)
    sizes = holes.sum((1, 2))
    assert set(sizes) == {0, 256} and 70 < (sizes == 0).sum() < 130
    for hole in holes[sizes > 0]:
        assert hole.any(0).sum() == hole.any(1).sum() == 16
    tops = [hole.any(1).argmax() for hole in holes[sizes > 0]]
    assert min(tops) <= 1 and max(tops) >= 15  # everywhere in the room that it has


@pytest.mark.parametrize("augmentation", both(erasing=0.5))
def test_erasing_takes_2_to_30_percent_of_half_of_the_images(augmentation):
    share = (apply(augmentation, WHITE) == 0).all(3).mean((1, 2))
    assert 70 < (share == 0).sum() < 130
    assert 0.015 < share[share > 0].min() and 0.25 < share.max() <= 0.32


@pytest.mark.parametrize("augmentation", both(cutout=16, cutout_anywhere=True))
def test_a_hole_anywhere_has_its_centre_in_the_image_and_is_cut_off_at_the_border(augmentation):
    holes = (apply(augmentation, WHITE) == 0).all(3)
    heights, widths = holes.any(2).sum(1), holes.any(1).sum(1)
    assert (heights * widths == holes.sum((1, 2))).all()  # each is one rectangle
    assert min(heights.min(), widths.min()) >= 8 and max(heights.max(), widths.max()) == 16
    assert abs(heights.mean() - 13.8) < 0.8 and abs(widths.mean() - 13.8) < 0.8  # 13.8: 16 less 72 of 33 positions
    assert holes[:, 0].any() and holes[:, -1].any() and holes[:, :, 0].any() and holes[:, :, -1].any()


@pytest.mark.parametrize("holes", [{"cutout": 16}, {"erasing": 1.0}, {"cutout": 16, "cutout_anywhere": True}])
def test_a_hole_in_the_mean_colour_is_0_for_the_network_even_after_jitter(holes):
    for augmentation in both(hole_color="mean", jitter=(0.2, 0.2, 0.2, 0.1), **holes):
        inputs = to_input(torch.from_numpy(apply(augmentation, WHITE)))
        inside = inputs.abs().amax(1) < 0.01  # whole numbers for a colour leave half a grey level
        assert (inside.sum((1, 2)) >= 16).all() and (inputs[~inside[:, None].expand_as(inputs)] > 0.2).all()
        if augmentation.pipeline == "device":
            assert (inputs.permute(0, 2, 3, 1)[inside] == 0).all()


@pytest.mark.parametrize("pipeline", ["device", "albumentations"])
def test_values_stay_in_range_and_epochs_and_seeds_differ(pipeline, sample_images):
    augmentation = replace(EVERYTHING, pipeline=pipeline)
    first = apply(augmentation, sample_images[:100])
    assert first.shape == (100, 32, 32, 3) and first.min() >= 0 and first.max() <= 255
    np.testing.assert_array_equal(first, apply(augmentation, sample_images[:100]))
    for other in (apply(augmentation, sample_images[:100], epoch=2), apply(augmentation, sample_images[:100], seed=1)):
        assert (other != first).any((1, 2, 3)).mean() > 0.9


@pytest.mark.parametrize(
    "fields",
    [
        {"crop_padding": 4, "flip": "random"},
        {"crop_padding": 4, "crop_border": "reflect"},
        {"shift": 0.1, "scale": (0.9, 1.1), "rotation": 15, "affine_probability": 0.5},
        {"cutout": 16, "cutout_anywhere": True},
        {"jitter": (0.2, 0.2, 0.2, 0.1)},
        {"erasing": 0.5, "hole_color": "mean"},
        {"flip": "random", "shift": 0.1, "rotation": 15, "cutout": 16, "jitter": (0.2, 0.2, 0.2, 0.1)},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_means_and_variances_of_both_pipelines_agree(fields, sample_images):
    """Channel means and standard deviations to 2.5 of 255, the mean image to 12 of 255 at every pixel: what
    1,000 images with independent draws leave open."""
    ours, theirs = (apply(augmentation, sample_images) for augmentation in both(**fields))
    np.testing.assert_allclose(ours.mean((0, 1, 2)), theirs.mean((0, 1, 2)), atol=2.5)
    np.testing.assert_allclose(ours.std((0, 1, 2)), theirs.std((0, 1, 2)), atol=2.5)
    np.testing.assert_allclose(ours.mean((0, 3)), theirs.mean((0, 3)), atol=12)


def test_move_equals_opencv():
    """A known movement, once by cv2's matrix and once by ours."""
    import cv2

    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.float32)
    angle, scale, right, down = 12.0, 1.1, 0.06, -0.09
    matrix = cv2.getRotationMatrix2D((15.5, 15.5), -angle, scale)  # cv2 counts anticlockwise
    matrix[:, 2] += (32 * right, 32 * down)
    expected = cv2.warpAffine(image, matrix, (32, 32), flags=cv2.INTER_LINEAR)
    values = [torch.tensor([value]) for value in (right, down, scale, np.deg2rad(angle))]
    ours = move(torch.from_numpy(image)[None], *(v.float() for v in values))[0].numpy()
    assert np.abs(ours - expected)[2:-2, 2:-2].max() < 6  # cv2 rounds positions to 1/32 pixel
    assert np.abs(ours - expected).mean() < 1


def test_a_hole_needs_no_room_for_nothing():
    images = torch.ones(2, 32, 32, 3)
    zero, one, side = torch.tensor([0.0, 0.0]), torch.tensor([0.999, 0.999]), torch.tensor([0, 32])
    assert fill_hole(images, one, zero, side, side, "black").sum((1, 2, 3)).tolist() == [32 * 32 * 3, 0]


def test_jitter_of_nothing_changes_nothing_and_a_third_of_a_turn_swaps_channels():
    images = torch.rand(3, 4, 4, 3) * 255
    ones, none = torch.ones(3), torch.zeros(3)
    torch.testing.assert_close(jitter(images, ones, ones, ones), images)
    torch.testing.assert_close(turn_hue(images, none + 1 / 3), images[..., [2, 0, 1]], rtol=1e-4, atol=1e-2)
    grey = jitter(images, ones, ones, none)
    torch.testing.assert_close(grey[..., 0], grey[..., 1])
