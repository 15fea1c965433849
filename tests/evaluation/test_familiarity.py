"""What is of no class is told from what the network knows, by a score that is what its definition says."""

import numpy as np
import pytest
from PIL import Image

from cifar100.evaluation.familiarity import (
    PASSING,
    class_means,
    familiarity,
    fit_familiarity,
    pack,
    set_to_length_one,
    unpack,
)
from cifar100.evaluation.strangers import COUNT, PATCH, THINGS, draw_thing, make_strangers
from tests.conftest import tiny_split


def draw_features(count, seed, classes=10, channels=64):
    """Features around a direction for each class, of any length."""
    generator = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(classes, channels))
    labels = generator.integers(0, classes, count)
    features = directions[labels] + 0.7 * generator.normal(size=(count, channels))
    return features * generator.uniform(0.1, 10, (count, 1)), labels


def test_the_score_is_the_cosine_to_the_nearest_mean():
    features, labels = draw_features(40, 0)
    means = class_means(features, labels, 12)  # two classes have no images
    units = [row / np.linalg.norm(row) for row in features]
    for k in range(12):
        own = [unit for unit, label in zip(units, labels) if label == k]
        np.testing.assert_allclose(means[k], np.sum(own, axis=0) if own else 0, atol=1e-12)
    expected = [max(unit @ mean / np.linalg.norm(mean) for mean in means[:10] if mean.any()) for unit in units]
    np.testing.assert_allclose(familiarity(features, means), expected)
    np.testing.assert_allclose(familiarity(7 * features, means), expected)


def test_packed_means_keep_their_direction():
    means = class_means(*draw_features(400, 1), 10)
    again = unpack(pack(means), 10)
    cosines = (set_to_length_one(again) * set_to_length_one(means)).sum(1)
    assert cosines.min() > 0.9999 and len(pack(means)) < 2 * means.size
    assert (unpack(pack(np.zeros((3, 4))), 3) == 0).all()
    for wrong in ("AAA", "ÄÄÄÄ", pack(means)[:-4]):
        with pytest.raises(ValueError):
            unpack(wrong, 10)


def test_new_pictures_pass_as_promised_and_strangers_do_not():
    kept, threshold = fit_familiarity(*draw_features(2000, 2), 10)
    means = unpack(kept, 10)
    passed = (familiarity(draw_features(4000, 3)[0], means) >= threshold).mean()
    assert abs(passed - PASSING) < 0.03
    strangers = np.random.default_rng(4).normal(size=(500, 64))
    assert (familiarity(strangers, means) < threshold).mean() > 0.95
    assert familiarity(strangers[:3], unpack(fit_familiarity(*draw_features(0, 0), 10)[0], 10)).tolist() == [0, 0, 0]


def test_strangers_are_the_same_each_time_and_of_many_kinds():
    images = tiny_split("test").images
    before = images.copy()
    strangers = make_strangers(images, 40)
    assert all((make_strangers(images, 40)[kind] == own).all() for kind, own in strangers.items())
    assert all(own.shape == (40, 32, 32, 3) and own.dtype == np.uint8 for own in strangers.values())
    assert all(len(np.unique(own.reshape(40, -1), axis=0)) == 40 for own in strangers.values())
    assert (strangers["flat colours"].std((1, 2)) == 0).all() and strangers["noise"].std() > 70
    assert (images == before).all() and len(make_strangers(images[:7], COUNT)["scrambled images"]) == 7


def test_a_scrambled_image_has_the_pieces_of_the_image():
    images = tiny_split("test").images

    def pieces(image):
        blocks = [image[r : r + PATCH, c : c + PATCH] for r in range(0, 32, PATCH) for c in range(0, 32, PATCH)]
        return sorted(block.tobytes() for block in blocks)

    for image, scrambled in zip(images, make_strangers(images, 10)["scrambled images"]):
        assert pieces(image) == pieces(scrambled) and (image != scrambled).any()


@pytest.mark.parametrize("name", THINGS)
def test_every_drawing_shows_something_on_its_background(name):
    drawing = draw_thing(name, np.random.default_rng(5)).astype(int)
    ground = drawing[:, :1]  # the background changes downwards only
    shown = np.abs(drawing - ground).sum(2) > 60
    assert 0.05 < shown.mean() < 0.7
    assert Image.fromarray(drawing.astype(np.uint8)).size == (32, 32)
