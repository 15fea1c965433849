import hashlib
import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from cifar100.dataset import cifar as data
from cifar100.dataset import download
from cifar100.errors import UserError


class Trap:
    """A pickle that leaves a mark when it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


@pytest.fixture
def two_images():
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (2, 32, 32, 3), np.uint8)


def as_records(images):
    return b"".join(bytes([1, 4]) + image.transpose(2, 0, 1).tobytes() for image in images)


def as_pickle(images):
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return pickle.dumps({b"data": rows, b"fine_labels": [4, 4], b"coarse_labels": [1, 1]})


def accept(monkeypatch, name, content):
    """Let the content count as the official file of that name."""
    algorithm = data.CHECKSUMS[name][0]
    monkeypatch.setitem(data.CHECKSUMS, name, (algorithm, hashlib.new(algorithm, content).hexdigest()))


def archived(name, content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


LAYOUTS = {
    "cifar-100-binary/test.bin": as_records,
    "cifar-100-python/test": as_pickle,
    "cifar-100-binary.tar.gz": lambda images: archived("cifar-100-binary/test.bin", as_records(images)),
    "cifar-100-python.tar.gz": lambda images: archived("cifar-100-python/test", as_pickle(images)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_images(name, tmp_path, monkeypatch, two_images):
    content = LAYOUTS[name](two_images)
    accept(monkeypatch, name, content)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    loaded = data.load_split("test", tmp_path)
    np.testing.assert_array_equal(loaded.images, two_images)
    assert loaded.fine.tolist() == [4, 4] and loaded.coarse.tolist() == [1, 1]


def test_order_of_the_sources(tmp_path, monkeypatch, two_images):
    content = as_records(two_images)
    accept(monkeypatch, "cifar-100-binary/test.bin", content)
    for folder in ("named", "variable", "data"):
        (tmp_path / folder / "cifar-100-binary").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "download", lambda folder: asked.append(folder))
    asked = []
    with pytest.raises(UserError):  # nothing anywhere: the download is asked, into ./data
        data.load_split("test")
    assert [str(folder) for folder in asked] == ["data"]
    (tmp_path / "data/cifar-100-binary/test.bin").write_bytes(content)
    assert len(data.load_split("test")) == 2
    monkeypatch.setenv("CIFAR100_DATA", "variable")  # named, hence no other place will do
    with pytest.raises(UserError, match="variable holds no CIFAR-100"):
        data.load_split("test")
    (tmp_path / "variable/cifar-100-binary/test.bin").write_bytes(content)
    assert len(data.load_split("test")) == 2
    with pytest.raises(UserError, match="named holds no CIFAR-100"):
        data.load_split("test", "named")
    assert len(asked) == 1


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: b"", lambda c: c[:9] + b"x" + c[10:]])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_that_is_not_the_official_one_is_refused(name, damage, tmp_path, monkeypatch, two_images):
    content = LAYOUTS[name](two_images)
    accept(monkeypatch, name, content)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(damage(content))
    with pytest.raises(UserError, match="not the official one"):
        data.load_split("test", tmp_path)


def test_a_foreign_pickle_is_never_opened(tmp_path):
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python/test").write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    with pytest.raises(UserError, match="not the official one"):
        data.load_split("test", tmp_path)
    assert not (tmp_path / "mark").exists()


def test_a_missing_folder_names_the_ways_out(tmp_path):
    with pytest.raises(UserError, match="There is no data folder .*CIFAR100_DATA=sample"):
        data.load_split("test", tmp_path / "nowhere")


def test_names():
    assert len(data.FINE_NAMES) == 100 and len(data.COARSE_NAMES) == 20
    assert (data.FINE_NAMES[0], data.FINE_NAMES[-1]) == ("apple", "worm")
    assert list(data.COARSE_NAMES) == sorted(data.COARSE_NAMES)
    assert np.bincount(data.COARSE_OF_FINE).tolist() == [5] * 20
    assert data.COARSE_NAMES[data.COARSE_OF_FINE[data.FINE_NAMES.index("maple_tree")]] == "trees"


def test_holdout_is_stratified_seeded_and_disjoint():
    fine = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500))
    kept, held = data.stratified_holdout(fine)
    assert len(kept) == 45_000 and np.bincount(fine[held]).tolist() == [50] * 100
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(50_000))
    assert np.array_equal(held, data.stratified_holdout(fine)[1])
    assert not np.array_equal(held, data.stratified_holdout(fine, seed=1)[1])
    with pytest.raises(UserError, match="hold-out of 150"):
        data.stratified_holdout(fine, 150)
