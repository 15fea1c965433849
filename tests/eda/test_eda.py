"""Each number of the EDA by a direct count on a few made-up images, and what its figures show of them."""

import numpy as np
import pytest

from cifar100 import figures
from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.eda import images as eda
from cifar100.eda.augmentations import draw_augmented, list_transforms
from cifar100.figures.style import keep_apart, make_figure
from cifar100.recipes import RECIPES


@pytest.fixture
def split():
    """300 random images, three of each class; number 7 is number 3 again, under another class."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    images[7] = images[3]
    fine = np.tile(np.arange(100), 3)
    return Images(images, fine, COARSE_OF_FINE[fine])


def test_counts_and_statistics(split):
    assert (eda.count_classes([split, split.take(np.arange(100))]) == [[3] * 100, [1] * 100]).all()
    histograms = eda.channel_histograms(split.images)
    means, stds = eda.channel_means_and_stds(histograms)
    np.testing.assert_allclose(means, (split.images / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(stds, (split.images / 255).std((0, 1, 2)))
    grey = split.images[0] @ np.array((0.299, 0.587, 0.114)) / 255
    assert eda.mean_brightness(split.images[:1])[0] == pytest.approx(grey.mean())


def test_distances_between_mean_images(split):
    means = eda.mean_images(split)
    np.testing.assert_allclose(means[5], split.images[[5, 105, 205]].mean(0))
    distances = eda.distances_between_classes(means)
    assert distances[2, 9] == pytest.approx(np.sqrt(((means[2] - means[9]) ** 2).mean()))
    np.testing.assert_allclose(np.diag(distances), 0, atol=1e-3)

    relatives = np.where(COARSE_OF_FINE[:, None] == COARSE_OF_FINE, 1.0, 2.0)
    assert eda.superclass_share_of_nearest(relatives) == 1.0
    assert eda.superclass_share_of_nearest(3 - relatives) == 0.0


def test_neighbours_name_a_vectors_label_where_labels_gather():
    generator, labels = np.random.default_rng(0), np.repeat([3, 5, 9], 20)
    near = generator.normal(size=(60, 4))
    assert eda.knn_accuracy(near + 100 * labels[:, None], labels) == 1.0
    assert eda.knn_accuracy(near, labels) < 0.7  # a vector is no neighbour of its own: with one it would be
    assert eda.knn_accuracy(np.arange(60.0)[:, None], np.arange(60) % 2, neighbours=1) == 0.0


def test_duplicates_within_and_across(split):
    other = split.take(np.array([10, 20, 20]))
    found = eda.find_duplicates([split, other])
    assert found.distinct == (299, 2)
    assert set(found.groups) == {((0, 3), (0, 7)), ((0, 10), (1, 0)), ((0, 20), (1, 1), (1, 2))}
    assert len(found.across()) == 2


def test_a_transform_alone_is_applied_to_every_image(split):
    augmentation = RECIPES["resnet56_multistep"].augmentation
    alone = list_transforms(augmentation)
    assert list(alone) == ["flip", "shift, scale, rotate", "cutout", "colour jitter"]
    images = np.maximum(split.images[:20], 1)
    holes = draw_augmented(alone["cutout"], images, 1)[:, 0]
    assert [(hole == 0).all(2).sum() for hole in holes] == [16 * 16] * 20
    draws = draw_augmented(RECIPES["sprint"].augmentation, images, 4)  # by the other pipeline
    assert draws.shape == (20, 4, 32, 32, 3) and (draws[:, 0] != draws[:, 1]).any()


def test_figures_show_their_data(split, tmp_path):
    means, histograms = eda.mean_images(split), eda.channel_histograms(split.images)
    distances, points = eda.distances_between_classes(means), np.random.default_rng(1).normal(size=(300, 2))
    brightness, counts = eda.mean_brightness(split.images), eda.count_classes([split, split])
    balance = figures.plot_class_balance(counts)
    assert sorted(bar.get_height() for bar in balance.axes[0].patches) == [3] * 200
    shown = {ax.get_title(): ax.images[0].get_array() for ax in figures.plot_classes(means, "title").axes}
    np.testing.assert_array_equal(shown["apple"], means[0].round())
    assert sum(len(ax.images) for ax in figures.plot_superclasses(split.images, split.fine).axes) == 100
    red = figures.plot_channels(histograms, np.zeros(3), np.zeros(3)).axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(red, 100 * histograms[0])
    medians = figures.plot_brightness(brightness, split.fine).axes[0].collections[-1].get_offsets()[:, 1]
    np.testing.assert_allclose(medians, sorted(np.median(brightness.reshape(3, 100), axis=0)))
    matrix = figures.plot_distances(distances, 0.5).axes[0].images[0]
    np.testing.assert_allclose(np.sort(matrix.get_array(), axis=None), np.sort(distances, axis=None))
    embedding = figures.plot_embedding(points, split.fine, "title", named=True).axes[0]
    np.testing.assert_array_equal(embedding.collections[0].get_offsets(), points)
    assert len(embedding.texts) == 20
    groups = figures.plot_image_groups([split.images[:2], split.images[:1]], ["two", "one"], "title", 2)
    first, second = (ax.images[0].get_array() for ax in groups.axes)
    np.testing.assert_array_equal(first[:, :32], second[:, :32])
    assert first.shape == second.shape  # one size for all

    path = tmp_path / "new" / "01_balance.png"
    assert figures.save_figure(balance, path) is balance and path.read_bytes() == balance.png
    png, shown = balance._repr_png_()
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    assert shown == {"alt": balance.alt, "width": 900, "height": 380} and (width, height) == (1800, 760)
    assert balance.alt == "Figure 1. Every class has as many images as any other"


def test_a_long_title_is_set_smaller_and_labels_keep_apart():
    long, _ = make_figure(6, 2, "From one class to another: " + "large omnivores and herbivores, " * 2)
    assert long.texts[0].get_window_extent().x1 < 600 and make_figure(6, 2, "short")[0].texts[0].get_fontsize() == 13

    points = np.random.default_rng(0).uniform(size=(20, 2))
    moved = keep_apart(points, height=0.05, widths=np.full(20, 0.2))
    apart = np.abs(moved[:, None] - moved)
    assert ((apart[..., 0] >= 0.2) | (apart[..., 1] > 0.0499) | np.eye(20, dtype=bool)).all()
