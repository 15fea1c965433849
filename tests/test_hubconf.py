"""torch.hub gives the committed weights, and answers to the bit as the project does."""

import numpy as np
import pytest
import torch

import hubconf
from cifar100.evaluation.probabilities import softmax
from cifar100.inference import load_predictor
from cifar100.network import load_network
from cifar100.recipes import RECIPES
from tests.conftest import ROOT, make_run


@pytest.mark.parametrize(("name", "recipe"), [("resnet56", "resnet56_200"), ("sprint", "sprint")])
def test_a_local_folder_answers_as_load_predictor(name, recipe):
    def load(entry, **options):
        return torch.hub.load(str(ROOT), entry, source="local", **options)

    network, transform = load(name, pretrained=True), load("transform")
    predictor = load_predictor(ROOT / "output" / recipe, "cpu")
    image = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    with torch.no_grad():
        logits = network(transform(image)).numpy()
    temperature = predictor.answering.temperature
    assert not network.training and len(network.classes) == 100
    assert np.array_equal(softmax(logits, temperature), predictor.probabilities([image]))
    assert load(name).training  # new weights


def test_an_unfinished_run_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(hubconf, "OUTPUT", tmp_path)
    finished = make_run(tmp_path, RECIPES["resnet56_multistep"])
    running = tmp_path / "resnet56_200/seed0.running"
    running.mkdir(parents=True)
    (running / "weights.safetensors").write_bytes(b"")
    ours, expected = hubconf.resnet56(pretrained=True), load_network(finished)
    assert torch.equal(ours.head.weight, expected.head.weight)
