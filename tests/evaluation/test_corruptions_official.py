"""CIFAR-100-C is read where it lies beside the data: a small one of three images."""

import numpy as np
import pytest

from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.errors import UserError
from cifar100.evaluation import corruptions_official
from cifar100.evaluation.corruption_table import OFFICIAL, load_corruptions, save_corruptions
from cifar100.evaluation.corruptions_official import official_accuracies

FINE = np.array([0, 1, 2])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three test images, which at severity s of kind k are right in the first s, capped, and in all for `fog`."""
    monkeypatch.setitem(corruptions_official.SIZES, "test", 3)
    monkeypatch.setattr(
        corruptions_official, "compute_logits", lambda network, images: np.eye(100)[np.asarray(images)[:, 0, 0, 0]]
    )
    np.save(tmp_path / "labels.npy", np.tile(FINE, 5))
    for kind in OFFICIAL:
        shown = np.full((5, 3, 32, 32, 3), 99, np.uint8)
        for severity in range(1, 6):
            right = 3 if kind == "fog" else min(severity, 3)
            shown[severity - 1, :right] = FINE[:right, None, None, None]
        np.save(tmp_path / f"{kind}.npy", shown.reshape(15, 32, 32, 3))
    return tmp_path


@pytest.fixture
def test_images():
    images = np.repeat(FINE, 32 * 32 * 3).reshape(3, 32, 32, 3).astype(np.uint8)
    return Images(images, FINE, COARSE_OF_FINE[FINE])


def test_each_kind_and_severity_is_found_in_its_place(folder, test_images, tmp_path):
    rows = list(official_accuracies(None, test_images, folder))
    assert len(rows) == 1 + 19 * 5 and rows[0] == ("clean", 0, 1.0)
    path = tmp_path / "table.csv"
    save_corruptions(rows, 3, "abc", path)
    table = load_corruptions(path)
    assert list(table.accuracies) == list(OFFICIAL) and table.accuracies["fog"] == [1.0] * 5
    assert table.accuracies["snow"] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1], abs=1e-6)
    two = test_images.take(np.arange(2))  # the first two of each severity
    assert [value for kind, _, value in official_accuracies(None, two, folder) if kind == "snow"] == [0.5, 1, 1, 1, 1]


@pytest.mark.parametrize("damage", ["missing", "labels", "shape", "torn"])
def test_anything_else_is_told_in_a_sentence(folder, test_images, damage):
    if damage == "missing":
        (folder / "fog.npy").unlink()
    elif damage == "labels":
        np.save(folder / "labels.npy", np.zeros(15, int))
    elif damage == "shape":
        np.save(folder / "fog.npy", np.zeros((15, 32, 32), np.uint8))
    else:
        (folder / "fog.npy").write_bytes((folder / "fog.npy").read_bytes()[:500])
    with pytest.raises(UserError, match="fetch CIFAR-100-C anew"):
        list(official_accuracies(None, test_images, folder))
