"""CIFAR-100 is found by its checksums, wherever and under whatever name it lies, and nothing else is taken for it."""

import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cifar100.dataset import cifar as data
from cifar100.dataset import official
from cifar100.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
SPLITS = {"train": IMAGES[:2], "test": IMAGES[2:]}


def as_records(images):
    return b"".join(bytes([1, 4]) + image.transpose(2, 0, 1).tobytes() for image in images)


def as_pickle(images):
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return pickle.dumps({b"data": rows, b"fine_labels": [4] * len(images), b"coarse_labels": [1] * len(images)})


def as_archive(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def make_files(splits):
    """The content of every official file, were these the official images."""
    binary = {f"cifar-100-binary/{split}.bin": as_records(images) for split, images in splits.items()}
    pickled = {f"cifar-100-python/{split}": as_pickle(images) for split, images in splits.items()}
    archives = {"cifar-100-binary.tar.gz": as_archive(binary), "cifar-100-python.tar.gz": as_archive(pickled)}
    return binary | pickled | archives


def accept(monkeypatch, files):
    """Let these files count as the official ones."""
    table = []
    for known in official.OFFICIAL:
        content = files[known.name]
        checksum = hashlib.new(known.algorithm, content).hexdigest()
        table.append(known._replace(size=len(content), checksum=checksum))
    monkeypatch.setattr(official, "OFFICIAL", tuple(table))
    data.load_official.cache_clear()


@pytest.fixture
def files(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = make_files(SPLITS)
    accept(monkeypatch, made)
    return made


def put(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)


def check_both(folder):
    for split, images in SPLITS.items():
        loaded = data.load_split(split, folder)
        np.testing.assert_array_equal(loaded.images, images)
        assert loaded.fine.tolist() == [4, 4] and loaded.coarse.tolist() == [1, 1]


@pytest.mark.parametrize("names", ["cifar-100-binary/", "cifar-100-python/", "cifar-100-binary.", "cifar-100-python."])
@pytest.mark.parametrize("folder", ["as published", "flat", "named otherwise", "linked"])
def test_every_layout_is_found(names, folder, files):
    for number, (name, content) in enumerate((n, c) for n, c in files.items() if n.startswith(names)):
        flat = Path(name).name
        put({"flat": f"place/{flat}", "named otherwise": f"place/x/{number}.dat"}.get(folder, f"place/{name}"), content)
    if folder == "linked":
        os.symlink("place", "link", target_is_directory=True)
    check_both("link" if folder == "linked" else "place")


def test_kaggles_flat_read_only_folder_and_the_folder_itself(files, monkeypatch):
    for name in ("train", "test"):
        put(f"input/{name}", files[f"cifar-100-python/{name}"])
    put("input/meta", b"names")
    os.chmod("input", 0o555)
    check_both("input")
    monkeypatch.chdir("input")
    check_both(".")


def test_order_of_the_sources(files, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(data, "download", asked.append)
    assert data.find_folder(" ") == tmp_path / "data" and data.is_sample('"sample"') and not data.is_sample("./sample")
    with pytest.raises(UserError):  # nothing anywhere: the download is asked, into ./data
        data.load_split("test")
    assert asked == [tmp_path / "data"]
    put("data/cifar-100-binary/test.bin", files["cifar-100-binary/test.bin"])
    assert len(data.load_split("test")) == 2
    for folder in ("named", "variable"):
        os.mkdir(folder)
    monkeypatch.setenv("CIFAR100_DATA", "'variable' ")  # named, hence no other place will do
    with pytest.raises(UserError, match="variable holds no CIFAR-100"):
        data.load_split("test")
    with pytest.raises(UserError, match="named holds no CIFAR-100"):
        data.load_split("test", "named")
    with pytest.raises(UserError, match="There is no data folder .*CIFAR100_DATA=sample"):
        data.load_split("test", "nowhere")
    assert len(asked) == 1 and len(data.load_split("test", "data")) == 2


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: b"", lambda c: c[:9] + b"x" + c[10:]])
def test_a_file_that_is_not_the_official_one_is_refused(damage, files):
    for name, content in files.items():
        folder = name.replace("/", "-")
        put(f"{folder}/{name}", damage(content))
        with pytest.raises(UserError, match=f"{folder} holds no CIFAR-100"):
            data.load_split("test", folder)


def test_a_foreign_pickle_is_never_opened(files, monkeypatch):
    trap = b"cos\nmkdir\n(S'mark'\ntR."  # makes a folder where it is opened
    sized = [known._replace(size=len(trap)) for known in official.OFFICIAL]  # so that its checksum is compared
    monkeypatch.setattr(official, "OFFICIAL", tuple(sized))
    put("place/cifar-100-python/test", trap)
    with pytest.raises(UserError, match="holds no CIFAR-100"):
        data.load_split("test", "place")
    assert not Path("mark").exists()


def test_a_file_is_read_once_for_both_splits_and_again_when_it_has_changed(files):
    name = "cifar-100-python.tar.gz"
    put(f"place/{name}", files[name])
    check_both("place")
    check_both(Path("place").absolute())
    assert data.load_official.cache_info().misses == 1
    put(f"place/{name}", files[name][:-1] + b"x")
    with pytest.raises(UserError, match="holds no CIFAR-100"):
        data.load_split("test", "place")


def test_names():
    assert len(data.FINE_NAMES) == 100 and len(data.COARSE_NAMES) == 20
    assert (data.FINE_NAMES[0], data.FINE_NAMES[-1]) == ("apple", "worm")
    assert list(data.COARSE_NAMES) == sorted(data.COARSE_NAMES)
    assert np.bincount(data.COARSE_OF_FINE).tolist() == [5] * 20
    assert data.COARSE_NAMES[data.COARSE_OF_FINE[data.FINE_NAMES.index("maple_tree")]] == "trees"


def test_holdout_is_stratified_and_disjoint():
    fine = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500))
    kept, held = data.stratified_holdout(fine)
    assert len(kept) == 45_000 and np.bincount(fine[held]).tolist() == [50] * 100
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(50_000))
    assert np.array_equal(held, data.stratified_holdout(fine)[1])
