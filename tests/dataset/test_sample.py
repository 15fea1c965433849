"""The embedded sample keeps its promises."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from cifar100.dataset import cifar
from cifar100.dataset.sample import OUTFITS, choose_outfit, make_sample

# Any mapping with five classes a superclass will do; this one interleaves them, as CIFAR-100's does.
COARSE_OF_FINE = np.arange(100) * 7 % 20


@pytest.fixture(scope="module")
def train_split():
    return make_sample(COARSE_OF_FINE, "train")


@pytest.fixture(scope="module")
def held_out():
    return make_sample(COARSE_OF_FINE, "test")


@pytest.mark.parametrize("name, per_class", [("train_split", 50), ("held_out", 10)])
def test_every_class_has_its_images(name, per_class, request):
    split = request.getfixturevalue(name)
    assert split.images.shape == (100 * per_class, 32, 32, 3) and split.images.dtype == np.uint8
    assert split.masks.shape == (100 * per_class, 32, 32) and split.masks.dtype == bool
    assert split.fine.dtype == split.coarse.dtype == np.int64
    assert (np.bincount(split.fine) == per_class).all()
    assert (split.coarse == COARSE_OF_FINE[split.fine]).all()


def test_objects_are_seen_and_leave_two_thirds_of_the_image(train_split, held_out):
    pixels = np.concatenate((train_split.masks, held_out.masks)).sum((1, 2))
    assert pixels.min() >= 60
    assert pixels.max() <= 32 * 32 // 3


def test_objects_move_about(train_split):
    frequency = train_split.masks.mean(0)  # how often each pixel is on an object
    assert frequency[4:-4, 4:-4].min() > 0.03
    assert frequency.max() < 0.6  # what a map that always points at the middle would score


def test_the_bytes_are_always_the_same():
    """smoke's published history was trained on these."""
    ours = make_sample(cifar.COARSE_OF_FINE, "test")
    assert hashlib.sha1(ours.images.tobytes()).hexdigest() == "7130adb195b5dde51a985a5b987dc96cb47db3bd"


def test_all_images_differ_within_and_across_splits(train_split, held_out):
    assert len({image.tobytes() for split in (train_split, held_out) for image in split.images}) == 6000


def test_colours_vary_with_the_class_on_the_object_and_not_around_it(train_split):
    def spread(masks):
        members = [train_split.fine == fine for fine in range(100)]
        means = [train_split.images[member][masks[member]].mean(0) for member in members]  # (100, 3)
        return np.std(means, axis=0).mean()

    assert spread(train_split.masks) > 5 * spread(~train_split.masks)


def test_colour_and_pattern_together_do_not_tell_a_class():
    outfits = [choose_outfit(coarse, rank) for coarse in range(20) for rank in range(len(OUTFITS))]
    assert min(Counter(outfits).values()) >= 3
    assert all(len({choose_outfit(coarse, rank) for rank in range(5)}) == 5 for coarse in range(20))
