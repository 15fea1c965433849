"""Proposals: each space finds the copies that it is there for."""

import numpy as np
import pytest
import torch
from torch import nn

from cifar100.evaluation import proposals

CPU = torch.device("cpu")


def draw(count: int, seed: int) -> np.ndarray:
    """Random pictures with shapes in them: (count, 32, 32, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, 1).repeat(4, 2)


@pytest.mark.parametrize("describe", [proposals.describe_pixels, proposals.describe_outlines])
def test_moved_mirrored_and_darker_copies_are_nearest(describe):
    train, test = draw(30, 0), draw(5, 1)
    test[0] = np.roll(train[4], (1, -1), (0, 1))
    test[1] = np.roll(train[9], 1, 0)[:, ::-1]
    test[2] = (train[17] * 0.6 + 20).astype(np.uint8)
    indices, cosines = proposals.make_space(describe, test, train, CPU).nearest()
    assert indices.shape == (5, 3) and indices[:3, 0].tolist() == [4, 9, 17]
    assert (cosines[:3, 0] - cosines[:3, 1] > 0.15).all() and (np.diff(cosines, axis=1) <= 0).all()


def test_outlines_stay_when_colours_are_exchanged():
    train = draw(30, 0)
    test = train[[6, 7]][..., [2, 0, 1]]
    indices, _ = proposals.make_space(proposals.describe_outlines, test, train, CPU).nearest()
    assert indices[:, 0].tolist() == [6, 7]


def test_the_cosines_of_pairs_are_those_of_the_search():
    train, test = draw(30, 0), draw(5, 1)
    space = proposals.make_space(proposals.describe_pixels, test, train, CPU)
    indices, cosines = space.nearest(batch_size=2)
    assert np.allclose(space.cosines(np.arange(5), indices[:, 1]), cosines[:, 1], atol=1e-6)


class Means(nn.Module):
    """A network whose features are the means of four quarters, the first of them five times as large."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 100)

    def features(self, images):
        means = nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        return means * torch.tensor([5.0] + [1.0] * 11)

    def classify(self, features):
        return self.head(features)


def test_no_single_feature_decides_who_is_near_in_feature_space():
    train, test = draw(200, 0), draw(3, 1)
    test[0] = train[11]  # but for feature 0, by which alone 65 others would be nearer
    test[0, :16, :16, 0] = (test[0, :16, :16, 0].astype(int) + 20).clip(0, 255)
    indices, _ = proposals.make_feature_space(Means(), test, train, CPU).nearest()
    assert indices[0, 0] == 11
