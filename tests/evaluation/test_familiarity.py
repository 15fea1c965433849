"""What is of no class is told from what the network knows, by a score that is what its definition says."""

import numpy as np
import pytest
from PIL import Image

from cifar100.evaluation.familiarity import (
    PASSING,
    both_scores,
    class_means,
    energy,
    familiarity,
    find_least,
    fit_familiarity,
    pack,
    set_to_length_one,
    unpack,
    worse_share,
)
from cifar100.evaluation.strangers import COUNT, PATCH, THINGS, draw_thing, make_strangers
from cifar100.runs.answering import LARGEST
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


def draw_known(count, seed):
    """Logits of large values beside those features."""
    features, labels = draw_features(count, seed)
    return np.random.default_rng(seed).normal(5, 1, (count, 10)), features, labels


def test_new_pictures_pass_as_promised_and_strangers_to_either_score_do_not():
    kept, known = fit_familiarity(*draw_known(2000, 2))
    means, least = unpack(kept, 10), find_least(known)[:, None]
    logits, features, _ = draw_known(4000, 3)
    scores = both_scores(logits, features, means)
    assert abs((scores >= least).all(0).mean() - PASSING) < 0.03
    alone = (scores < least).mean(1)
    assert np.all((0.01 < alone) & (alone < 0.05))  # either score refuses its part
    elsewhere = np.random.default_rng(4).normal(size=(4000, 64))
    for strangers in ((logits, elsewhere), (logits - 5, features)):
        assert (both_scores(*strangers, means) < least).any(0).mean() > 0.95


def test_a_picture_is_judged_by_the_worse_of_both_scores():
    known = np.array([[1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 6.0, 5.0]])
    scores = np.array([[2.5, 9.0, 0.0, 4.0], [9.0, 5.5, 9.0, 7.0]])
    assert worse_share(scores, known).tolist() == [0.5, 0.25, 0.0, 0.5]
    np.testing.assert_allclose(energy([[1.0, 2.0], [1000.0, 1000.0]]), [np.log(np.e + np.e**2), 1000 + np.log(2)])


def test_a_picture_passes_where_its_worse_share_does():
    known = np.random.default_rng(6).normal(size=(2, 1000))
    passing = (known >= find_least(known)[:, None]).all(0)
    worse = worse_share(known, known)
    assert abs(passing.mean() - PASSING) < 0.005 and worse[passing].min() > worse[~passing].max()


def test_without_images_nothing_is_refused():
    kept, known = fit_familiarity(*draw_known(0, 0))
    assert find_least(known).tolist() == [-LARGEST, -LARGEST]
    assert familiarity(np.ones((3, 64)), unpack(kept, 10)).tolist() == [0, 0, 0]


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
