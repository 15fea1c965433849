"""Near duplicates: what is found, by which search, and what is not."""

import numpy as np
import pytest
import torch
from torch import nn

from cifar100.dataset.cifar import SIZES
from cifar100.errors import UserError
from cifar100.evaluation import near_duplicates as duplicates

CPU = torch.device("cpu")


def draw(count: int, seed: int) -> np.ndarray:
    """Random pictures with shapes in them: (count, 32, 32, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, 1).repeat(4, 2)


class MeanColour(nn.Module):
    """A network whose features are the picture's mean colour, as one-hot as colours get."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 100)

    def features(self, images):
        return images.mean((2, 3))

    def classify(self, features):
        return self.head(features)


def test_shifted_flipped_and_brighter_copies_are_found_in_pixel_space():
    train, strangers = draw(30, 0), draw(5, 1)
    test = strangers.copy()
    test[0] = np.roll(train[4], (2, -1), (0, 1))
    test[1] = np.roll(train[9], (-1, 2), (0, 1))[:, ::-1]
    test[2] = (train[17] * 0.8 + 20).astype(np.uint8)
    index, similarity = duplicates.nearest_in_pixels(test, train, CPU)
    assert index[:3].tolist() == [4, 9, 17] and (similarity[:3] > 0.99).all() and (similarity[3:] < 0.8).all()


def test_details_tell_a_copy_from_a_picture_of_the_same_light():
    generator = np.random.default_rng(0)
    light = np.linspace(40, 200, 32)[None, :, None, None] * np.ones((2, 1, 32, 3))  # the same sky in both
    skies = (light + generator.normal(0, 6, light.shape)).clip(0, 255).astype(np.uint8)
    assert duplicates.nearest_in_pixels(skies[:1], skies[1:], CPU)[1] > 0.95
    assert duplicates.compare_details(skies[:1], skies[1:]) < 0.3
    moved = np.roll(skies[:1], (3, -2), (1, 2))[:, :, ::-1]
    assert duplicates.compare_details(moved, skies[:1]) > 0.95


def test_each_test_picture_is_named_once_with_its_likest():
    train, test = draw(30, 0), draw(6, 1)
    test[1], test[3] = train[8], np.roll(train[5], 1, 0)
    pairs = {pair.test: pair for pair in duplicates.find_near_duplicates(test, train, MeanColour(), CPU)}
    assert set(pairs) == {1, 3}
    assert pairs[1] == duplicates.Pair(1, 8, "exact", 1.0)
    assert (pairs[3].train, pairs[3].kind) == (5, "near") and pairs[3].similarity > 0.95


def test_a_file_gives_back_the_pairs_and_is_checked(tmp_path):
    pairs = [duplicates.Pair(3, 17, "exact", 1.0), duplicates.Pair(9, 2, "near", 0.9731)]
    path = tmp_path / "pairs.csv"
    duplicates.save_pairs(pairs, path)
    assert duplicates.load_pairs(path) == pairs
    path.write_text("test,train\n1,x\n")
    with pytest.raises(UserError, match="run `python -m cifar100 duplicates RUN`"):
        duplicates.load_pairs(path)


def test_the_committed_list_is_in_order_and_within_the_data_set():
    pairs = duplicates.load_pairs()
    numbers = [pair.test for pair in pairs]
    assert numbers == sorted(set(numbers)) and 0 <= numbers[0] and numbers[-1] < SIZES["test"]
    assert all(0 <= pair.train < SIZES["train"] and pair.kind in duplicates.KINDS for pair in pairs)
    assert sum(pair.kind == "exact" for pair in pairs) == 10  # the known number of test pictures with a twin
