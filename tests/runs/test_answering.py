"""What an evaluation adds to a run's files: whole or not at all, no tensor changed, nothing lost on the way."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load

from cifar100.errors import UserError
from cifar100.evaluation import summary as assessment
from cifar100.evaluation.logits import Evaluation
from cifar100.inference import load_predictor
from cifar100.runs.answering import Answering, as_trained, extract_answering, insert_answering
from cifar100.runs.place import claim
from cifar100.runs.run import Run
from tests.conftest import tiny_split
from tests.inference.test_predictor import IMAGES, evaluate_made, make_answering, make_run


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path / "output")


def test_a_copy_in_the_weights_changes_no_tensor_and_can_be_taken_out(folder):
    trained = (folder / "weights.safetensors").read_bytes()
    answering = make_answering().to_dict()
    filled = insert_answering(trained, answering)
    assert extract_answering(filled) == answering and extract_answering(trained) is None
    assert as_trained(filled) == as_trained(trained) == trained
    other = make_answering(temperature=3.0).to_dict()
    assert insert_answering(filled, other) == insert_answering(trained, other) != filled
    before, after = load(trained), load(filled)
    assert before.keys() == after.keys()
    assert all(before[name].numpy().tobytes() == after[name].numpy().tobytes() for name in before)
    assert (len(filled) - len(trained)) % 8 == 0  # what lies behind the header stays aligned


def test_the_checksum_is_that_of_the_trained_weights(folder):
    before = Run.load(folder).metrics["sha256"]
    evaluate_made(folder)
    assert Run.load(folder).metrics["sha256"] == before


def test_no_byte_of_the_copy_can_be_changed_unseen(folder):
    evaluate_made(folder)
    path = folder / "weights.safetensors"
    whole = path.read_bytes()
    start = whole.index(b"answering")
    for place in [*range(start, start + 60), whole.index(b"familiar_from") + 20, 3, whole.index(b"{") + 1]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(UserError):
            Run.load(folder)
            load_predictor(folder, "cpu")
    path.write_bytes(whole)
    metrics = folder / "metrics.json"
    text = metrics.read_text()
    metrics.write_text(text.replace('"temperature": 0.5', '"temperature": 0.6'))
    with pytest.raises(UserError, match="another temperature"):
        load_predictor(folder, "cpu")
    metrics.write_text(text.replace('"temperature": 0.5', '"temperature": -0.5'))
    with pytest.raises(UserError, match="answering"):
        Run.load(folder)


class Cut(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("older", [False, True], ids=["first evaluation", "second evaluation"])
def test_a_kill_between_the_files_leaves_a_run_that_answers(folder, monkeypatch, older):
    if older:
        evaluate_made(folder, temperature=2.0)
    answers = {None: load_predictor(folder, "cpu").probabilities(IMAGES)}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    new = make_answering()
    logits = np.zeros((100, 100), np.float32)

    def save():
        result = Evaluation(Run.load(folder), torch.nn.Identity(), tiny_split("test"), logits, 1.0, 0.1, logits)
        assessment.save_evaluation(result, {"images": 100, "answering": new.to_dict()})

    write = assessment.write_bytes
    steps = 3 if older else 2
    for survived in range(steps + 1):
        for name, content in before.items():
            (folder / name).write_bytes(content)
        done = 0

        def perhaps(path, content, survived=survived):
            nonlocal done
            if done == survived:
                raise Cut
            done += 1
            write(path, content)

        monkeypatch.setattr(assessment, "write_bytes", perhaps)
        monkeypatch.setattr(assessment, "write_text", lambda path, text: perhaps(path, text.encode()))
        try:
            save()
            assert survived == steps
        except Cut:
            assert survived < steps
        written = "evaluation" in Run.load(folder).metrics and Run.load(folder).metrics["evaluation"].get("images")
        predictor = load_predictor(folder, "cpu")
        if written:
            assert predictor.answering == new
        else:
            np.testing.assert_array_equal(predictor.probabilities(IMAGES), answers[None])
    monkeypatch.undo()
    save()  # what was cut off is done again
    assert load_predictor(folder / "weights.safetensors", "cpu").answering == new


def test_a_run_that_is_being_trained_is_not_changed(folder, tmp_path):
    run = Run.load(folder)
    logits = np.zeros((100, 100), np.float32)
    result = Evaluation(run, torch.nn.Identity(), tiny_split("test"), logits, 1.0, 0.1, logits)
    with claim(folder, tmp_path / "output"), pytest.raises(UserError, match="right now"):
        assessment.save_evaluation(result, {"answering": make_answering().to_dict()})
    assert Run.load(folder).metrics == run.metrics


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": "hot"},
        {"temperature": float("inf")},
        {"penalty": -1},
        {"set_thresholds": [0.0] * 98},
        {"set_thresholds": [1.0, *[0.5] * 98]},
        {"set_thresholds": 3},
        {"class_means": "<b>"},
        {"class_means": None},
        {"familiar_from": True},
        {"energy_from": "much"},
        {"more": 1},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(change):
    values = make_answering().to_dict()
    assert Answering.from_dict(json.loads(json.dumps(values))) == make_answering()
    with pytest.raises(ValueError):
        Answering.from_dict(values | change)
    assert replace(make_answering(), temperature=2.0).temperature == 2.0


def test_an_evaluation_of_before_the_energy_refuses_nothing_by_it():
    values = make_answering().to_dict()
    del values["energy_from"]
    assert Answering.from_dict(values).energy_from < -1e299
