"""CIFAR-100 (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"): classes and images."""

import functools
import os
from pathlib import Path

import numpy as np

from cifar100.dataset.official import WAYS_OUT, Images, download, find_candidates, read_official
from cifar100.errors import UserError
from cifar100.files import strip_quotes, user_path

# Fine and coarse labels both number their names in alphabetical order.
SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
COARSE_NAMES = tuple(SUPERCLASSES)
FINE_NAMES = tuple(sorted(" ".join(SUPERCLASSES.values()).split()))
COARSE_OF_FINE = np.array(
    [next(k for k, names in enumerate(SUPERCLASSES.values()) if fine in names.split()) for fine in FINE_NAMES]
)  # (100,) int64

# Channel means and standard deviations (RGB, 0..1) of the 50,000 training images: images.mean((0, 1, 2)) / 255 and
# images.std((0, 1, 2)) / 255.
MEAN = (0.50707516, 0.48654887, 0.44091784)
STD = (0.26733429, 0.25643846, 0.27615047)

SIZES = {"train": 50_000, "test": 10_000}


def readable(name: str) -> str:
    """A class name without underscores."""
    return name.replace("_", " ")


def name_data(data: str | Path | None) -> str:
    """The data that the user has named, by argument or else by CIFAR100_DATA; "" for none."""
    return strip_quotes(data) or strip_quotes(os.environ.get("CIFAR100_DATA"))


def is_sample(data: str | Path | None = None) -> bool:
    """Whether the embedded sample is to be used, by argument or by CIFAR100_DATA."""
    return name_data(data) == "sample"


def find_folder(data: str | Path | None = None) -> Path:
    """The absolute path of the folder in which `load_split` looks."""
    return user_path(name_data(data) or "data")


def load_split(split: str, data: str | Path | None = None) -> Images:
    """The "train" (50,000 images) or the "test" split (10,000). Calls for the same file return the same arrays.

    Looks in `data`, else in the folder named by CIFAR100_DATA, else in ./data, and else downloads into ./data. The
    official files may have any name, in the folder or one level below. "sample" instead of a folder is the embedded
    sample (5,000 and 1,000 images). Raises UserError if the folder is missing or holds no official file.
    """
    if is_sample(data):
        from cifar100.dataset.sample import make_sample

        return make_sample(COARSE_OF_FINE, split)
    folder = find_folder(data)
    images = find_split(split, folder)
    if images is None and not name_data(data):
        download(folder)
        images = find_split(split, folder)
    if images is None:
        holds = f"The folder {folder} holds no CIFAR-100 with the official checksums"
        raise UserError(f"{holds if folder.is_dir() else f'There is no data folder {folder}'}. {WAYS_OUT}")
    return images


def find_split(split: str, folder: Path) -> Images | None:
    """A split from the official files in a folder, recognised by their checksums; None if it is not there. Raises
    UserError if the folder or a file cannot be read."""
    try:
        for path in find_candidates(split, folder) if folder.is_dir() else ():
            facts = path.stat()
            found = load_official(path, (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns))
            if split in found:
                return found[split]
    except OSError as error:
        raise UserError(f"The data folder {folder} cannot be read ({error}): make it readable.") from error
    return None


@functools.lru_cache(maxsize=2)  # both splits, because reading an archive takes seconds
def load_official(path: Path, identity: tuple) -> dict[str, Images]:
    """The splits in a file. identity: changes when the file does."""
    return read_official(path.read_bytes())


def load_training_set(data: str | Path | None = None, holdout: bool = False) -> Images:
    """The images to train on: the training split, or with `holdout` nine tenths of it."""
    training = load_split("train", data)
    return training.take(stratified_holdout(training.fine)[0]) if holdout else training


def load_evaluation_set(data: str | Path | None = None, holdout: bool = False) -> Images:
    """The images to evaluate on: the test split, or with `holdout` a tenth of the training split."""
    if not holdout:
        return load_split("test", data)
    training = load_split("train", data)
    return training.take(stratified_holdout(training.fine)[1])


def stratified_holdout(fine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The indices to train on and the held-out ones, a tenth with the same number of each class. Both are sorted."""
    generator, classes = np.random.default_rng(0), np.unique(fine)
    share = len(fine) // 10 // len(classes)
    held = np.concatenate([generator.choice(np.flatnonzero(fine == c), share, replace=False) for c in classes])
    return np.setdiff1d(np.arange(len(fine)), held), np.sort(held)
