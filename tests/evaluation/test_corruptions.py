"""Corruptions: as strong as they say, the same each time, and kept in a file that is checked."""

import numpy as np
import pytest
import torch
from torch import nn

from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.errors import UserError
from cifar100.evaluation import corruptions
from cifar100.evaluation.corruption_table import CorruptionTable, load_corruptions, save_corruptions


@pytest.fixture(scope="module")
def images():
    """Smooth random pictures: 20 of 32x32."""
    coarse = torch.rand(20, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.interpolate(40 + 176 * coarse, size=(32, 32), mode="bilinear")
    return smooth.permute(0, 2, 3, 1).byte().numpy()


def distance(images, name, severity):
    corrupted = corruptions.corrupt(images, name, severity)
    assert corrupted.shape == images.shape and corrupted.dtype == np.uint8
    return np.abs(corrupted.astype(float) - images).mean()


@pytest.mark.parametrize("name", corruptions.STRENGTHS)
def test_severities_rise(images, name):
    distances = [distance(images, name, severity) for severity in corruptions.SEVERITIES]
    assert 0 < distances[0] < distances[-1]
    if name != "pixelation":  # where it depends on how the old grid and the new one meet
        assert all(a < b for a, b in zip(distances, distances[1:]))


def test_the_same_again_for_the_same_pictures(images):
    np.testing.assert_array_equal(corruptions.corrupt(images, "noise", 3), corruptions.corrupt(images, "noise", 3))


def test_strengths_are_what_they_say():
    grey = np.full((50, 32, 32, 3), 128, np.uint8)
    noise = corruptions.corrupt(grey, "noise", 5).astype(float) - 128
    assert noise.std() / 255 == pytest.approx(0.10, rel=0.03) and abs(noise.mean()) < 0.5
    brighter = corruptions.corrupt(grey, "brightness", 5)
    assert brighter.mean() - 128 == pytest.approx(0.3 * 255, abs=1)
    half = np.full((1, 32, 32, 3), 64, np.uint8)
    half[:, 16:] = 192
    flat = corruptions.corrupt(half, "contrast", 5)
    assert float(flat.max()) - float(flat.min()) == pytest.approx(0.15 * 128, abs=2)


def test_unknown_corruptions_are_refused(images):
    for name, severity in (("fog", 1), ("noise", 6), ("noise", 0)):
        with pytest.raises(UserError, match="choose from noise, blur, contrast, brightness, JPEG, pixelation, 1 to 5"):
            corruptions.corrupt(images, name, severity)


class Constant(nn.Module):
    """Says class 7 of everything."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(torch.eye(100)[7])

    def forward(self, images):
        return self.scores.expand(len(images), -1)


def test_a_file_gives_back_what_was_measured_and_is_checked(images, tmp_path):
    fine = np.array([7] * 5 + [8] * 15)
    rows = list(corruptions.corrupted_accuracies(Constant(), Images(images, fine, COARSE_OF_FINE[fine])))
    assert len(rows) == 1 + 6 * 5 and all(accuracy == 0.25 for _, _, accuracy in rows)
    path = tmp_path / "corruptions.csv"
    save_corruptions(rows, 20, "abc", path)
    accuracies = {name: [0.25] * 5 for name in corruptions.STRENGTHS}
    assert load_corruptions(path) == CorruptionTable(0.25, accuracies, 20, "abc")
    path.write_text(path.read_text().replace("blur,3", "blurred,3"))
    with pytest.raises(UserError, match="corruptions RUN` again"):
        load_corruptions(path)
