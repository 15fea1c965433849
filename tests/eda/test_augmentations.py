import numpy as np
import pytest

from cifar100.errors import UserError
from cifar100.eda.augmentations import draw_mixed
from cifar100.figures import plot_mixed
from cifar100.recipes import RECIPES


def test_cutmix_shares_the_label_by_area():
    images = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (10, 100, 200)])
    mixed, captions = draw_mixed(RECIPES["resnet18_cutmix"].augmentation, images, np.array([0, 1, 2]))
    for picture, own, other, caption in zip(mixed, (10, 100, 200), (200, 10, 100), captions):
        share = (picture == own).mean()
        assert ((picture == own) | (picture == other)).all() and 0 < share < 1
        assert f"{share:.0%}" in caption and f"{1 - share:.0%}" in caption
    assert captions[0].replace("\n", " ").startswith(("apple", "baby"))
    assert [ax.get_title() for ax in plot_mixed(mixed, captions, "x").axes] == captions


def test_what_does_not_mix_is_refused():
    with pytest.raises(UserError, match="mixes nothing"):
        draw_mixed(RECIPES["sprint"].augmentation, np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 1]))
