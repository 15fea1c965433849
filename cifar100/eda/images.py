"""Statistics of the images: counts, means, nearest neighbours, duplicates."""

import hashlib
from dataclasses import dataclass

import numpy as np

from cifar100.dataset.cifar import COARSE_OF_FINE, Images


def count_classes(splits: list[Images]) -> np.ndarray:
    """Images per class: (splits, 100)."""
    return np.stack([np.bincount(split.fine, minlength=100) for split in splits])


def channel_histograms(images: np.ndarray) -> np.ndarray:
    """The fraction of pixels at each value, (3, 256). images: (N, 32, 32, 3) uint8."""
    pixels = images.reshape(-1, 3)
    return np.stack([np.bincount(pixels[:, c], minlength=256) for c in range(3)]) / len(pixels)


def channel_means_and_stds(histograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, (3,) each, in 0..1. histograms: see `channel_histograms`."""
    values = np.arange(256) / 255
    mean = histograms @ values
    return mean, np.sqrt((histograms * (values - mean[:, None]) ** 2).sum(1))


def examples_of_classes(split: Images) -> np.ndarray:
    """A random image of each class: (100, 32, 32, 3) uint8."""
    generator = np.random.default_rng(0)
    return split.images[[generator.choice(np.flatnonzero(split.fine == k)) for k in range(100)]]


def mean_images(split: Images) -> np.ndarray:
    """The mean image of each class: (100, 32, 32, 3) float64 in 0..255."""
    return np.stack([split.images[split.fine == k].mean(0) for k in range(100)])


def mean_brightness(images: np.ndarray) -> np.ndarray:
    """The mean grey value of each image, (N,), in 0..1. images: (N, 32, 32, 3) uint8."""
    return images.mean((1, 2)) @ np.array((0.299, 0.587, 0.114)) / 255


def distances_between_classes(means: np.ndarray) -> np.ndarray:
    """Root mean square difference between the classes' mean images, (100, 100), in 0..255."""
    from scipy.spatial.distance import cdist  # here, because scipy is slow to import

    flat = means.reshape(100, -1)
    return cdist(flat, flat) / np.sqrt(flat.shape[1])


@dataclass(frozen=True)
class Duplicates:
    """Groups of identical images. An image is (number of the split, index)."""

    groups: tuple[tuple[tuple[int, int], ...], ...]
    distinct: tuple[int, ...]  # distinct images in each split

    def across(self) -> list[tuple[tuple[int, int], ...]]:
        """The groups with images of more than one split."""
        return [group for group in self.groups if len({split for split, _ in group}) > 1]


def find_duplicates(splits: list[Images]) -> Duplicates:
    """Find images that are identical in every byte, within and across the splits."""
    places: dict[bytes, list[tuple[int, int]]] = {}
    distinct = []
    for number, split in enumerate(splits):
        digests = [hashlib.sha1(image.tobytes(), usedforsecurity=False).digest() for image in split.images]
        distinct.append(len(set(digests)))
        for index, digest in enumerate(digests):
            places.setdefault(digest, []).append((number, index))
    return Duplicates(tuple(tuple(group) for group in places.values() if len(group) > 1), tuple(distinct))


def superclass_share_of_nearest(distances: np.ndarray) -> float:
    """How often the class with the nearest mean image is in the same superclass, 0..1. Chance: 4/99."""
    nearest = np.where(np.eye(100, dtype=bool), np.inf, distances).argmin(1)
    return float((COARSE_OF_FINE[nearest] == COARSE_OF_FINE).mean())


def make_thumbnails(images: np.ndarray) -> np.ndarray:
    """The images shrunk to 8x8 pixels, as vectors: (N, 192) floats in 0..255. images: (N, 32, 32, 3) uint8."""
    return images.reshape(len(images), 8, 4, 8, 4, 3).mean((2, 4)).reshape(len(images), -1)


def embed(vectors: np.ndarray) -> np.ndarray:
    """t-SNE (van der Maaten and Hinton 2008) of the first 30 principal components: (N, 2). vectors: (N, D)."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    components = PCA(min(30, *vectors.shape), random_state=0).fit_transform(vectors)
    perplexity = min(30, (len(vectors) - 1) / 3)
    return TSNE(random_state=0, init="pca", perplexity=perplexity).fit_transform(components)


def knn_accuracy(vectors: np.ndarray, labels: np.ndarray, neighbours: int = 10) -> float:
    """The leave-one-out accuracy of a k-nearest-neighbours classifier, 0..1. vectors: (N, D), N above `neighbours`;
    labels: (N,)."""
    from scipy import stats
    from sklearn.neighbors import KNeighborsClassifier

    found = KNeighborsClassifier(neighbours).fit(vectors, labels).kneighbors(return_distance=False)  # without itself
    return float((stats.mode(labels[found], axis=1).mode == labels).mean())
