"""Each figure of the EDA by a direct count, on a few made-up pictures."""

import numpy as np
import pytest

from cifar100 import figures
from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.eda import images as eda


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


def test_every_figure_shows_its_data(split, tmp_path):
    means, histograms = eda.mean_images(split), eda.channel_histograms(split.images)
    counts, distances = eda.count_classes([split, split]), eda.distances_between_classes(means)
    places, (brightness, contrast) = eda.embed_thumbnails(split.images), eda.brightness_and_contrast(split.images)
    drawn = {
        "balance": figures.plot_class_balance(counts),
        "superclasses": figures.plot_superclasses(split.images, split.fine),
        "classes": figures.plot_classes(means, "title"),
        "channels": figures.plot_channels(histograms, *eda.channel_statistics(histograms)),
        "brightness": figures.plot_brightness(brightness, contrast, split.fine),
        "distances": figures.plot_distances(distances, 0.5),
        "embedding": figures.plot_embedding(places, split.fine, "title"),
        "groups": figures.plot_picture_groups([split.images[:2]] * 5, ["a pair"] * 5, "title", 2),
    }
    for name, fig in drawn.items():
        path = tmp_path / "new" / f"{name}.png"
        assert figures.save_figure(fig, path) is fig and path.read_bytes().startswith(b"\x89PNG")

    long = figures.style.make_figure(6, 2, "From one class to another: " + "large omnivores and herbivores, " * 2)[0]
    figures.save_figure(long, tmp_path / "16_long.png")
    (heading,) = [text for text in long.texts if text.get_text() == long.alt]
    assert long.alt.startswith("Figure 16. From") and heading.get_window_extent().x1 < 600
    assert drawn["balance"].texts[0].get_fontsize() == 13  # one that fits keeps its size

    assert sorted(bar.get_height() for bar in drawn["balance"].axes[0].patches) == [3] * 200
    shown = {ax.get_title(): ax.images[0].get_array() for ax in drawn["classes"].axes}
    np.testing.assert_array_equal(shown["apple"], means[0].round())
    assert len(shown) == 100 and sum(len(ax.images) for ax in drawn["superclasses"].axes) == 100
    red = drawn["channels"].axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(red, 100 * histograms[0])
    of_classes = drawn["brightness"].axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(of_classes[9], (brightness[9::100].mean(), contrast[9::100].mean()), rtol=1e-5)
    matrix = drawn["distances"].axes[0].images[0].get_array()
    np.testing.assert_allclose(np.sort(matrix, axis=None), np.sort(distances, axis=None))
    np.testing.assert_array_equal(drawn["embedding"].axes[0].collections[0].get_offsets(), places)
    pair = drawn["groups"].axes[0].images[0].get_array()
    np.testing.assert_array_equal(pair[:, :32], split.images[0])


def test_balance_title_is_computed():
    even, uneven = np.full((2, 100), 5), np.arange(200).reshape(2, 100)
    titles = [figures.plot_class_balance(counts).get_suptitle() for counts in (even, uneven)]
    assert titles == ["Every class has as many images as any other", "The classes differ in size"]


def test_words_keep_clear_of_one_another():
    places = [(0, 0.31), (0, 0.10), (0, 0.12), (9, 0.12), (0, 0.30)]
    moved = figures.style.keep_apart(places, height=0.07, width=2)
    np.testing.assert_allclose(moved, [(0, 0.37), (0, 0.10), (0, 0.17), (9, 0.12), (0, 0.30)])
    np.testing.assert_allclose(figures.style.keep_apart(places[1:4], height=0.07)[:, 1], [0.10, 0.17, 0.24])

    fine = np.repeat(np.arange(100), 2)  # two of each class, all superclasses in one spot but for the first
    points = np.where(COARSE_OF_FINE[fine] == 0, 1.0, 0.0)[:, None] + np.zeros(2)
    (axes, *_) = figures.plot_embedding(points, fine, "title", named=True).axes
    assert [text.get_text() for text in axes.texts] == ["aquatic mammals", "fish", "flowers", "food containers"]
