"""Corruptions: as strong as they say and the same each time; tables do not replace one another."""

import numpy as np
import pytest
import torch
from torch import nn

from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.errors import UserError
from cifar100.evaluation import corruptions
from cifar100.evaluation.corruptions import CorruptionTable, load_corruptions
from cifar100.network import load_network
from cifar100.runs.run import Run
from tests.conftest import make_run


@pytest.fixture(scope="module")
def images():
    """Smooth random images: 20 of 32x32."""
    coarse = torch.rand(20, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.interpolate(40 + 176 * coarse, size=(32, 32), mode="bilinear")
    return smooth.permute(0, 2, 3, 1).byte().numpy()


@pytest.mark.parametrize("name", corruptions.STRENGTHS)
def test_severities_rise(images, name):
    corrupted = [corruptions.corrupt(images, name, severity) for severity in corruptions.SEVERITIES]
    assert all(one.shape == images.shape and one.dtype == np.uint8 for one in corrupted)
    distances = [np.abs(one.astype(float) - images).mean() for one in corrupted]
    assert 0 < distances[0] < distances[-1]
    if name != "pixelation":  # where it depends on how the old grid and the new one meet
        assert all(a < b for a, b in zip(distances, distances[1:]))


def test_strengths_are_what_they_say():
    grey = np.full((50, 32, 32, 3), 128, np.uint8)
    noise = corruptions.corrupt(grey, "noise", 5).astype(float) - 128
    assert noise.std() / 255 == pytest.approx(0.10, rel=0.03) and abs(noise.mean()) < 0.5
    np.testing.assert_array_equal(corruptions.corrupt(grey, "noise", 5), noise + 128)  # the same again
    brighter = corruptions.corrupt(grey, "brightness", 5)
    assert brighter.mean() - 128 == pytest.approx(0.3 * 255, abs=1)
    half = np.full((1, 32, 32, 3), 64, np.uint8)
    half[:, 16:] = 192
    flat = corruptions.corrupt(half, "contrast", 5)
    assert float(flat.max()) - float(flat.min()) == pytest.approx(0.15 * 128, abs=2)


def test_a_file_gives_back_what_was_measured_and_is_checked(images, tmp_path, monkeypatch):
    folder, fine = make_run(tmp_path), np.array([7] * 5 + [8] * 15)
    run, network, test = Run.load(folder), load_network(folder), Images(images, fine, COARSE_OF_FINE[fine])
    nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        network.head.bias.copy_(torch.eye(100)[7])  # whatever the image, class 7
    monkeypatch.setattr("cifar100.evaluation.logits.open_run", lambda *arguments: (run, network, test))
    accuracies = {name: [0.25] * 5 for name in corruptions.STRENGTHS}
    measured = CorruptionTable(0.25, accuracies, 20, run.metrics["sha256"]["weights"])
    path = corruptions.table_file(folder)
    assert corruptions.measure_corruptions(folder) == load_corruptions(path) == measured
    path.write_text(path.read_text().replace("blur,3", "blurred,3"))
    with pytest.raises(UserError, match="delete it, and run"):
        load_corruptions(path)
