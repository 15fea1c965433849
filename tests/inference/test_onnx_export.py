"""The ONNX file says what torch says, for any batch, and how to feed it."""

import json

import numpy as np
import onnxruntime

from cifar100.__main__ import main
from cifar100.dataset.cifar import FINE_NAMES, MEAN, STD
from cifar100.inference import load_predictor
from cifar100.recipes import SMOKE
from tests.conftest import ROOT
from tests.inference.test_predictor import IMAGES, evaluate_made, make_run


def test_logits_and_probabilities_equal_torchs(tmp_path):
    run, path = make_run(tmp_path / "output"), tmp_path / "new" / "network.onnx"
    evaluate_made(run, temperature=0.25)
    assert main(["export-onnx", str(run), "--to", str(path)]) == 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["logits", "probabilities"]
    expected = load_predictor(run, "cpu").probabilities(IMAGES)
    by_hand = ((IMAGES / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)  # as the metadata say
    for count in (1, 20):
        logits, probabilities = session.run(None, {"images": by_hand[:count]})
        np.testing.assert_allclose(probabilities, expected[:count], atol=1e-5)
        powers = np.exp(logits.astype(float) / 0.25)
        np.testing.assert_allclose(powers / powers.sum(1, keepdims=True), expected[:count], atol=1e-5)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == list(FINE_NAMES) and json.loads(facts["recipe"]) == SMOKE.to_dict()
    assert json.loads(facts["temperature"]) == 0.25 and str(list(MEAN)) in facts["preprocessing"]
    assert not any(text in path.read_bytes() for text in (b"site-packages", bytes(ROOT), b".py"))
