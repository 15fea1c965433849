"""The embedded sample keeps its promises."""

import hashlib

import numpy as np
import pytest

from cifar100.dataset import cifar
from cifar100.dataset.sample import make_sample

# Any mapping with five classes a superclass will do; this one interleaves them, as CIFAR-100's does.
COARSE_OF_FINE = np.arange(100) * 7 % 20


@pytest.fixture(scope="module")
def train_split():
    return make_sample(COARSE_OF_FINE, "train")


@pytest.fixture(scope="module")
def held_out():
    return make_sample(COARSE_OF_FINE, "test")


def test_every_class_has_its_images_and_all_differ(train_split, held_out):
    for split, count in ((train_split, 50), (held_out, 10)):
        assert split.images.shape == (100 * count, 32, 32, 3) and split.images.dtype == np.uint8
        assert np.bincount(split.fine).tolist() == [count] * 100
        assert (split.coarse == COARSE_OF_FINE[split.fine]).all()
    assert len({image.tobytes() for split in (train_split, held_out) for image in split.images}) == 6000


def test_objects_are_seen_leave_two_thirds_of_the_image_and_move_about(train_split):
    pixels = train_split.masks.sum((1, 2))
    assert 60 <= pixels.min() and pixels.max() <= 32 * 32 // 3
    frequency = train_split.masks.mean(0)  # how often each pixel is on an object
    assert frequency[4:-4, 4:-4].min() > 0.03
    assert frequency.max() < 0.6  # what a map that always points at the middle would score


def test_the_bytes_are_always_the_same():
    ours = make_sample(cifar.COARSE_OF_FINE, "test")
    assert hashlib.sha1(ours.images.tobytes()).hexdigest() == "7130adb195b5dde51a985a5b987dc96cb47db3bd"


def test_colours_vary_with_the_class_on_the_object_and_not_around_it(train_split):
    def spread(masks):
        members = [train_split.fine == fine for fine in range(100)]
        means = [train_split.images[member][masks[member]].mean(0) for member in members]  # (100, 3)
        return np.std(means, axis=0).mean()

    assert spread(train_split.masks) > 5 * spread(~train_split.masks)
