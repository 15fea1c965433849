"""Near duplicates: what is found and what is not, and the list of them."""

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


def test_each_test_picture_is_named_once_with_its_likest():
    train, test = draw(30, 0), draw(6, 1)
    train[20] = np.roll(train[5], 4, 1) // 2  # less like test[3] than train[5] is
    test[1], test[3] = train[8], np.roll(train[5], 1, 0)
    pairs = {pair.test: pair for pair in duplicates.find_near_duplicates(test, train, MeanColour(), CPU)}
    assert set(pairs) == {1, 3}
    assert pairs[1] == duplicates.Pair(1, 8, "exact", 1.0)
    assert (pairs[3].train, pairs[3].kind) == (5, "near") and pairs[3].similarity > 0.95


def test_a_picture_that_training_has_many_times_is_found():
    train, test = draw(30, 0), draw(6, 1)
    for shade in range(5):
        train[10 + shade] = train[5] * (0.5 + shade / 10)
    test[3] = train[5] * 0.9 + 10  # as near to all six, in outlines and in features
    pairs = duplicates.find_near_duplicates(test, train, MeanColour(), CPU)
    assert [pair.test for pair in pairs] == [3] and pairs[0].train in {5, *range(10, 15)}


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
