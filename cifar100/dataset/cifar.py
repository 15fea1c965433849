"""Find, verify and read CIFAR-100 (Krizhevsky 2009, "Learning Multiple Layers of Features from
Tiny Images")."""

import io
import os
import pickle
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cifar100.dataset.official import CHECKSUMS, WAYS_OUT, read_checked
from cifar100.errors import UserError

# Both label sets number their names in alphabetical order, so this table holds all four facts:
# fine names, coarse names, and which fine classes share a superclass.
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

# Channel means and deviations (RGB, 0..1) of the 50,000 training images: images.mean((0, 1, 2)) / 255
# and images.std((0, 1, 2)) / 255.
MEAN = (0.50707516, 0.48654887, 0.44091784)
STD = (0.26733429, 0.25643846, 0.27615047)

SIZES = {"train": 50_000, "test": 10_000}
RECORD_BYTES = 2 + 3 * 32 * 32  # coarse label, fine label, planar RGB


def readable(name: str) -> str:
    """A class name without underscores."""
    return name.replace("_", " ")


@dataclass(frozen=True)
class Images:
    """One split. images: (N, 32, 32, 3) uint8 RGB; fine: (N,) int64, 0..99; coarse: (N,) int64, 0..19."""

    images: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: np.ndarray) -> "Images":
        return replace(self, images=self.images[indices], fine=self.fine[indices], coarse=self.coarse[indices])


def is_sample(data: str | Path | None = None) -> bool:
    """Whether the embedded sample is asked for, by argument or by CIFAR100_DATA."""
    return str(data or os.environ.get("CIFAR100_DATA", "")) == "sample"


def find_folder(data: str | Path | None = None) -> Path:
    """Where CIFAR-100 lies, or would: see `load_split`."""
    return Path("data" if is_sample(data) else data or os.environ.get("CIFAR100_DATA") or "data").expanduser()


def load_split(split: str, data: str | Path | None = None) -> Images:
    """The "train" (50,000 images) or the "test" split (10,000).

    Looks in `data`, else in the folder that CIFAR100_DATA names, else in ./data, else downloads
    into ./data. "sample" in place of a folder asks for the embedded sample (5,000 and 1,000).
    Raises UserError if the folder is missing or empty, or a file is not the official one.
    """
    if is_sample(data):
        from cifar100.dataset.sample import make_sample

        sample = make_sample(COARSE_OF_FINE, split)
        return Images(sample.images, sample.fine, sample.coarse)
    named, folder = data or os.environ.get("CIFAR100_DATA"), find_folder(data)
    if named and not folder.is_dir():
        raise UserError(f"There is no data folder {folder}. {WAYS_OUT}")
    found = find_file(split, folder)
    if found is None and not named:
        from cifar100.dataset.download import download  # here, since few need it: a Space does not

        download(folder)
        found = find_file(split, folder)
    if found is None:
        raise UserError(f"The folder {folder} holds no CIFAR-100. {WAYS_OUT}")
    return read_file(split, found)


def load_training_and_held(data: str | Path | None = None, holdout: bool = False) -> tuple[Images, Images]:
    """The images to train on and those to evaluate on: the two splits, or with `holdout` two parts
    of the training split, a tenth held out; the test split is not read then."""
    training = load_split("train", data)
    if not holdout:
        return training, load_split("test", data)
    kept, held = stratified_holdout(training.fine, len(training) // 10)
    return training.take(kept), training.take(held)


def find_file(split: str, folder: Path) -> Path | None:
    """The file in `folder` that holds the split, or None. Unpacked files are preferred to archives.
    A folder named like an unpacked archive may be given itself."""
    names = [f"cifar-100-binary/{split}.bin", f"cifar-100-python/{split}", *(n for n in CHECKSUMS if n.endswith(".gz"))]
    for root in (folder, folder.parent) if folder.name.startswith("cifar-100-") else (folder,):
        for name in names:
            if (root / name).is_file():
                return root / name
    return None


def read_file(split: str, path: Path) -> Images:
    """Read a split from an official file, whose checksum is compared before anything is parsed.
    Raises UserError if it differs."""
    name = path.name if path.name.endswith(".gz") else f"{path.parent.name}/{path.name}"
    content = read_checked(path, name)
    if name.endswith(".tar.gz"):
        name = f"{name.removesuffix('.tar.gz')}/{split}" + (".bin" if "binary" in name else "")
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:  # read in memory: nothing is unpacked
            content = archive.extractfile(name).read()
    if name.endswith(".bin"):
        records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
        coarse, fine, pixels = records[:, 0], records[:, 1], records[:, 2:]
    else:  # a pickle: opened only because its checksum, or its archive's, is the official one
        content = pickle.loads(content, encoding="bytes")
        coarse, fine, pixels = content[b"coarse_labels"], content[b"fine_labels"], content[b"data"]
    images = np.ascontiguousarray(np.asarray(pixels).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return Images(images, np.asarray(fine, np.int64), np.asarray(coarse, np.int64))


def stratified_holdout(fine: np.ndarray, count: int = 5_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split the training set once: (indices to train on, `count` indices held out), both sorted.

    Every class gives the same number. One generator draws both, so they cannot overlap.
    Raises UserError if `count` is no multiple of the number of classes, or takes a whole class.
    """
    classes, sizes = np.unique(fine, return_counts=True)
    share = count // len(classes)
    if count % len(classes) or not 0 < share < sizes.min():
        raise UserError(
            f"A hold-out of {count} cannot take the same number from {len(classes)} classes: choose another."
        )
    generator = np.random.default_rng(seed)
    held = np.concatenate([generator.choice(np.flatnonzero(fine == c), share, replace=False) for c in classes])
    return np.setdiff1d(np.arange(len(fine)), held), np.sort(held)
