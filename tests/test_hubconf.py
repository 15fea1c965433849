"""torch.hub gives the committed weights, and answers to the bit as the project does."""

import numpy as np
import pytest
import torch

from cifar100.evaluation.probabilities import softmax
from cifar100.inference import load_predictor
from tests.conftest import ROOT


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
