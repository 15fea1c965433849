"""Pictures in: files of any shape and kind. Pictures out: which are shown, and what an augmentation does to them."""

import numpy as np
import pytest
from PIL import Image

from cifar100.data import COARSE_OF_FINE
from cifar100.errors import UserError
from cifar100.evaluation import top_accuracy
from cifar100.pictures import open_picture, shrink
from cifar100.preview import draw_augmented, list_transforms
from cifar100.recipe import RECIPES, Augmentation
from cifar100.showcase import pick_examples


def test_the_central_square_is_taken(tmp_path):
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = (10, 200, 30)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    picture = open_picture(tmp_path / "wide.png")
    assert picture.shape == (40, 40, 3) and (picture == (10, 200, 30)).all()
    assert shrink(picture).shape == (32, 32, 3) and (shrink(picture) == (10, 200, 30)).all()


def test_transparent_is_white_grey_is_rgb_and_a_turned_photograph_stands_upright(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (open_picture(tmp_path / "clear.png") == 255).all()
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    assert (open_picture(tmp_path / "grey.png") == 77).all()
    lying = Image.fromarray(np.repeat(np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8), 8, 1).repeat(4, 0))
    exif = lying.getexif()
    exif[0x0112] = 3  # orientation: upside down
    lying.save(tmp_path / "turned.png", exif=exif)
    upright = open_picture(tmp_path / "turned.png")
    assert (upright[0, 0] == (0, 0, 255)).all() and (upright[-1, 0] == (255, 0, 0)).all()


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "note.txt").write_text("no picture")
    for name in ("note.txt", "missing.png"):
        with pytest.raises(UserError, match="name a PNG or JPEG file"):
            open_picture(tmp_path / name)


def test_each_transform_stands_alone_and_applies_to_every_picture():
    recipe = RECIPES["resnet56_multistep"]
    alone = list_transforms(recipe.augmentation)
    assert list(alone) == ["flip", "shift, scale, rotate", "cutout", "colour jitter"]
    images = np.random.default_rng(0).integers(1, 255, (20, 32, 32, 3), dtype=np.uint8)
    holes = draw_augmented(alone["cutout"], images, 1)[:, 0]
    assert ((holes == 0).all(-1).sum((1, 2)) == 16 * 16).all()
    assert (np.where(holes == 0, images, holes) == images).all()
    assert set(list_transforms(RECIPES["sprint"].augmentation)) == {"crop", "flip"}
    assert list_transforms(Augmentation()) == {}


@pytest.mark.parametrize("name", ["resnet56_multistep", "sprint"])
def test_draws_are_those_of_the_training(name):
    images = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    draws = draw_augmented(RECIPES[name].augmentation, images, 4)
    assert draws.shape == (6, 4, 32, 32, 3) and draws.dtype == np.uint8
    np.testing.assert_array_equal(draws, draw_augmented(RECIPES[name].augmentation, images, 4))
    assert (draws[:, 0] != draws[:, 1]).any()


def test_surest_examples_come_first_one_a_superclass():
    probabilities = np.zeros((5, 100))
    labels = np.array([0, 0, 1, 2, 3])  # apple, apple, aquarium fish, baby, bear
    for k, (guess, share) in enumerate([(0, 0.7), (0, 0.9), (1, 0.8), (5, 0.6), (6, 0.95)]):
        probabilities[k, guess] = share
    assert len(set(COARSE_OF_FINE[labels])) == 4
    assert pick_examples(probabilities, labels, True, 8).tolist() == [1, 2]
    assert pick_examples(probabilities, labels, False, 8).tolist() == [4, 3]
    assert pick_examples(probabilities, labels, True, 1).tolist() == [1]


def test_top_accuracy_counts_the_highest_scores():
    scores = np.array([[0.1, 0.5, 0.4], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    labels = np.array([1, 1, 2])
    assert [top_accuracy(scores, labels, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])
