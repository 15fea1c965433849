"""The answer for your own image is what evaluation gives for the same pixels."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cifar100.__main__ import main
from cifar100.dataset.cifar import FINE_NAMES
from cifar100.errors import UserError
from cifar100.evaluation.logits import predict_logits
from cifar100.inference.predictor import UNKNOWN_FROM, Predictor, load_predictor
from cifar100.network import load_network, make_network
from cifar100.recipes import SMOKE
from cifar100.runs.answering import Answering
from tests.conftest import make_run

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)


THRESHOLDS = tuple(np.linspace(0, 0.98, 99).round(6).tolist())


def evaluate_made(folder, temperature=10.0):
    """Add to a run what an evaluation would."""
    answering = Answering(temperature=temperature, penalty=0.01, free=5, set_thresholds=THRESHOLDS)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["evaluation"] = {"answering": answering.to_dict()}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("output"))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    return evaluate_made(make_run(tmp_path_factory.mktemp("evaluated")))


def softmax_of(folder, temperature=1.0):
    logits = predict_logits(load_network(folder), torch.from_numpy(IMAGES)).double().numpy()
    powers = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def test_files_and_arrays_get_the_probabilities_of_the_evaluation(run, tmp_path):
    predictor, expected, path = load_predictor(run, "cpu"), softmax_of(run), tmp_path / "a.png"
    Image.fromarray(IMAGES[0]).save(path)
    for source in (path, str(path), path.read_bytes(), IMAGES[0]):
        answer = predictor.predict(source, top_k=100)
        assert sorted(own.class_id for own in answer) == list(range(100))
        for own in answer:
            assert own == (FINE_NAMES[own.class_id], own.class_id, pytest.approx(expected[0, own.class_id], rel=1e-5))
    for images in (IMAGES, list(IMAGES), tuple(map(Image.fromarray, IMAGES)), IMAGES / 255):
        np.testing.assert_allclose(predictor.probabilities(images), expected, rtol=1e-9)
    ranked = [[own.class_id for own in answer.ranking] for answer in predictor.answer_batch(IMAGES)]
    assert ranked == np.argsort(-expected, 1).tolist() and predictor.answer_batch([]) == []
    alone = [predictor.predict(image) for image in IMAGES]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(predictor.predict, IMAGES)) == alone
    for top_k in (0, 101, 2.0, "5", None, True):
        with pytest.raises(UserError, match="The number of classes must be a whole number from 1 to 100, not"):
            predictor.predict("the image is not even opened", top_k)


def test_a_run_brings_its_temperature(evaluated):
    for path in (evaluated, evaluated.parent):
        assert load_predictor(path, "cpu").answering.temperature == 10.0


@pytest.mark.parametrize("confidence", [0.05, 0.3, 0.9, 0.99])
def test_a_set_has_the_classes_up_to_its_threshold(evaluated, confidence):
    predictor = load_predictor(evaluated, "cpu")
    threshold, at_ninety = (THRESHOLDS[percent - 1] for percent in (round(100 * confidence), 90))
    for answer in predictor.answer_batch(IMAGES, confidence):
        shares = [prediction.probability for prediction in answer.ranking]
        scores = [sum(shares[:k]) + 0.01 * max(0, k - 4) for k in range(100)]
        assert answer.set_size == sum(score <= threshold + 1e-12 for score in scores)
        classes = sum(score <= at_ninety + 1e-12 for score in scores)
        assert classes >= UNKNOWN_FROM  # an untrained network knows nothing
        assert answer.doubt == f"It needs {classes} classes to be 90% sure: it does not know this."
    nn.init.zeros_(predictor.network.head.weight)
    with torch.no_grad():
        predictor.network.head.bias.copy_(torch.eye(100)[7] * 500)
    sure = predictor.answer(IMAGES[0], confidence)
    assert sure.ranking[0].class_id == 7 and sure.set_size <= 6 and sure.doubt is None
    for wrong in (0, 1, 0.995, float("nan"), "0.9", None, True):
        with pytest.raises(UserError, match="from 0.01 to 0.99"):
            predictor.answer(IMAGES[0], wrong)


def test_what_is_no_whole_run_is_refused(run, tmp_path):
    folder = make_run(tmp_path)
    weights, whole = folder / "weights.safetensors", (run / "weights.safetensors").read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1000\n"
    for content, words in ((pointer, "git lfs pull"), (whole[:-100], "damaged"), (b"", "damaged")):
        weights.write_bytes(content)
        with pytest.raises(UserError, match=words):
            load_predictor(folder, "cpu")
    (tmp_path / "a.pth").write_bytes(whole)
    for name in ("a.pth", "none"):
        with pytest.raises(UserError, match="no finished"):
            load_predictor(tmp_path / name, "cpu")


def test_logits_that_are_not_finite_are_refused():
    network = make_network(SMOKE)
    nn.init.constant_(network.head.weight, 3e38)
    with pytest.raises(UserError, match="logits are not finite"):
        Predictor(network).predict(IMAGES[0])


def test_the_command_prints_classes_sets_and_doubt(run, evaluated, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.png"):
        Image.fromarray(IMAGES[0]).save(name)
    Image.fromarray(IMAGES[0]).save("x[1].jpg")  # a pattern, too, that x1.jpg matches
    Path("x1.jpg").touch()
    answer, _ = load_predictor(evaluated, "cpu").answer_batch([IMAGES[0]] * 2, 0.3)
    command = ["predict", str(evaluated), "*.png", "--device", "cpu"]  # as Windows passes it on
    assert main([*command, "--confidence", "0.3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"a.png: {answer.doubt}" and lines[answer.set_size + 1] == f"b.png: {answer.doubt}"
    named = [own.class_name.replace("_", " ") for own in answer.ranking[: answer.set_size]]
    assert [line.split("%  ")[1] for line in lines[1 : answer.set_size + 1]] == named
    assert main([*command, "--json", "--top", "3"]) == 0
    expected = {"doubt": answer.doubt, "classes": [own._asdict() for own in answer.ranking[:3]]}
    assert json.loads(capsys.readouterr().out) == {"a.png": expected, "b.png": expected}
    assert main(["predict", str(run), "x[1].jpg"]) == 0 and capsys.readouterr().out.startswith("x[1].jpg\n")
    unmeasured = ["predict", str(run), "missing.png", "--confidence", "0.9"]
    for arguments, words in (
        (unmeasured, "has not been evaluated"),  # said before it opens any
        ([*command, "--confidence", "1.5"], "from 0.01 to 0.99"),
        ([*command, "--top", "0"], "from 1 to 100"),
        (["predict", str(run), "*.gif"], "cannot be opened as an image"),
    ):
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and words in captured.err and captured.err.count("\n") == 1
