"""The ONNX file says what torch says, for any batch, and how to feed it."""

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from cifar100.__main__ import main
from cifar100.dataset.augment_image import to_input
from cifar100.dataset.cifar import FINE_NAMES, MEAN, STD
from cifar100.evaluation.familiarity import energy, familiarity
from cifar100.evaluation.logits import compute_both
from cifar100.inference import load_predictor
from cifar100.inference.onnx_export import export_onnx
from cifar100.recipes import RECIPES, SMOKE
from cifar100.runs.checks import checksum
from cifar100.runs.run import save_recipe
from cifar100.network import load_network, make_network, save_weights
from tests.conftest import ROOT, randomise_norms
from tests.inference.test_predictor import IMAGES, evaluate_made, make_run


def make_bare_run(folder, recipe):
    """What the export needs of a run: recipe, weights, and their checksum."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    network = randomise_norms(make_network(recipe))
    save_recipe(folder, recipe)
    save_weights(folder / "weights.safetensors", network, recipe)
    digest = checksum(folder / "weights.safetensors")
    (folder / "metrics.json").write_text(json.dumps({"sha256": {"weights": digest}}))
    return folder


@pytest.mark.parametrize("recipe", [SMOKE, replace(RECIPES["sprint"])], ids=["smoke", "sprint"])
def test_logits_equal_torchs(recipe, tmp_path, capsys):
    run, path = make_bare_run(tmp_path / "seed0", recipe), tmp_path / "new" / "network.onnx"
    assert main(["export-onnx", str(run), "--to", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    network = load_network(run)
    for count in (1, 7):
        images = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8)
        inputs = to_input(images)
        with torch.no_grad():
            expected = network(inputs).numpy()
        np.testing.assert_allclose(session.run(["logits"], {"images": inputs.numpy()})[0], expected, atol=1e-4)
        # by the words of the metadata, without torch
        by_hand = ((images.numpy() / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
        np.testing.assert_allclose(session.run(None, {"images": by_hand})[0], expected, atol=1e-4)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == list(FINE_NAMES) and json.loads(facts["recipe"]) == recipe.to_dict()
    assert all(text in facts["preprocessing"] for text in (str(list(MEAN)), "EXIF", "transparent on white"))
    content = path.read_bytes()
    assert not any(text in content for text in (b"site-packages", bytes(ROOT), b".py"))


def test_an_evaluated_run_brings_its_answers(tmp_path):
    run, path = make_run(tmp_path / "output"), tmp_path / "network.onnx"
    evaluate_made(run, temperature=0.25)
    export_onnx(run, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    predictor = load_predictor(run, "cpu")
    inputs = to_input(torch.from_numpy(IMAGES)).numpy()
    names = [output.name for output in session.get_outputs()]
    assert names == ["logits", "probabilities", "familiarity", "energy"]
    logits, probabilities, scores, energies = session.run(names, {"images": inputs})
    np.testing.assert_allclose(probabilities, predictor.probabilities(IMAGES), atol=1e-5)
    expected, features = compute_both(predictor.network, IMAGES)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(scores, familiarity(features, predictor.means), atol=1e-5)
    np.testing.assert_allclose(energies, energy(expected), atol=1e-4)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["answering"]) == predictor.answering.to_dict()
    assert "divided by the temperature" in facts["answers"]


def test_a_run_without_weights_is_refused(tmp_path, capsys):
    assert main(["export-onnx", str(tmp_path), "--to", str(tmp_path / "x.onnx")]) == 2
    assert "holds no finished run" in capsys.readouterr().err and not (tmp_path / "x.onnx").exists()
