"""Each figure of the EDA by a direct count, on a few made-up pictures."""

import numpy as np
import pytest

from cifar100 import figures
from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.exploration import images as eda


@pytest.fixture
def split():
    """300 random pictures, three of each class; number 7 is number 3 again, under another class."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    images[7] = images[3]
    fine = np.tile(np.arange(100), 3)
    return Images(images, fine, COARSE_OF_FINE[fine])


def test_counts_and_statistics(split):
    assert (eda.count_classes([split, split.take(np.arange(100))]) == [[3] * 100, [1] * 100]).all()
    histograms = eda.channel_histograms(split.images)
    np.testing.assert_allclose(histograms.sum(1), 1)
    mean, deviation = eda.channel_statistics(histograms)
    np.testing.assert_allclose(mean, (split.images / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(deviation, (split.images / 255).std((0, 1, 2)))
    brightness, contrast = eda.brightness_and_contrast(split.images[:1])
    grey = split.images[0] @ np.array((0.299, 0.587, 0.114)) / 255
    assert (brightness[0], contrast[0]) == pytest.approx((grey.mean(), grey.std()), rel=1e-5)


def test_distances_between_mean_pictures(split):
    means = eda.mean_images(split)
    np.testing.assert_allclose(means[5], split.images[[5, 105, 205]].mean(0))
    distances = eda.distances_between_classes(means)
    assert distances[2, 9] == pytest.approx(np.sqrt(((means[2] - means[9]) ** 2).mean()))
    np.testing.assert_allclose(np.diag(distances), 0, atol=1e-3)
    (first, second, distance), *_ = eda.nearest_classes(distances, 1)
    off_diagonal = distances + 1e9 * np.eye(100)
    assert distance == off_diagonal.min() and {first, second} == set(
        np.unravel_index(off_diagonal.argmin(), (100, 100))
    )


def test_share_of_nearest_relatives():
    distances = np.where(COARSE_OF_FINE[:, None] == COARSE_OF_FINE, 1.0, 2.0)
    assert eda.superclass_share_of_nearest(distances) == 1.0
    assert eda.superclass_share_of_nearest(3 - distances) == 0.0


def test_duplicates_within_and_across(split):
    other = split.take(np.array([10, 20, 20]))
    found = eda.find_duplicates([split, other])
    assert found.distinct == (299, 2)
    assert set(found.groups) == {((0, 3), (0, 7)), ((0, 10), (1, 0)), ((0, 20), (1, 1), (1, 2))}
    assert len(found.across()) == 2


def test_hardest_looking_picture_is_the_one_of_another_class():
    images = np.zeros((200, 32, 32, 3), np.uint8)
    fine = np.tile(np.arange(100), 2)
    images += fine.astype(np.uint8)[:, None, None, None]
    images[142] = 97  # of class 42
    split = Images(images, fine, COARSE_OF_FINE[fine])
    means = np.repeat(np.arange(100.0), 32 * 32 * 3).reshape(100, 32, 32, 3)
    assert eda.hardest_looking(split, means, 1).tolist() == [142]


def test_every_figure_can_be_saved(split, tmp_path):
    means = eda.mean_images(split)
    histograms = eda.channel_histograms(split.images)
    pictures = [
        figures.plot_class_balance(eda.count_classes([split, split])),
        figures.plot_superclasses(split.images, split.fine),
        figures.plot_classes(means, "title"),
        figures.plot_channels(histograms, *eda.channel_statistics(histograms)),
        figures.plot_brightness(*eda.brightness_and_contrast(split.images), split.fine),
        figures.plot_distances(eda.distances_between_classes(means), 0.5),
        figures.plot_embedding(eda.embed_thumbnails(split.images), split.fine, "title"),
        figures.plot_picture_groups([split.images[:2]] * 5, ["a pair"] * 5, "title", 2),
    ]
    for number, fig in enumerate(pictures):
        path = tmp_path / "new" / f"{number}.png"
        assert figures.save_figure(fig, path) is fig and path.read_bytes().startswith(b"\x89PNG")


def test_balance_title_is_computed():
    even, uneven = np.full((2, 100), 5), np.arange(200).reshape(2, 100)
    titles = [figures.plot_class_balance(counts).get_suptitle() for counts in (even, uneven)]
    assert titles == ["Every class has as many images as any other", "The classes differ in size"]
