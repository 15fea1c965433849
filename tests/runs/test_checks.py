"""What tells a run's files from damaged ones, beyond the bytes that tests/faults flips."""

import json
from dataclasses import replace

import numpy as np
import pytest
from cifar100.runs.checks import is_plain, make_plain
from torch import nn

from cifar100.errors import UserError
from cifar100.evaluation.logits import Evaluation
from cifar100.evaluation.summary import save_evaluation
from cifar100.inference import load_predictor
from cifar100.recipes import SMOKE
from cifar100.runs.run import Run, is_finished, load_metrics, read_settings
from tests.conftest import tiny_split
from tests.faults.damage import make_run


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path)


def change(folder, **entries):
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def nest(depth: int):
    return [nest(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    "entries",
    [
        {"hardware": "![x](https://example.org/p.png)"},
        {"hardware": "[click](javascript:alert)"},
        {"commit": "&lt;script"},
        {"commit": "**bold**"},
        {"commit": "a\\b"},
        {"hardware": "abacus of https://example.org"},
        {"hardware": "www.example.org"},
        {"hardware": "made by @somebody"},
        {"hardware": "__bold__"},
        {"hardware": "_slanted_ abacus"},
        {"hardware": "$formula$"},
        {"hardware": "~struck~"},
        {"evaluation": {"deep": nest(600)}},
        {"sha256": {"weights": "none", "history": "none"}},
        {"sha256": None},
    ],
    ids=str,
)
def test_what_pages_would_take_for_more_than_text_is_refused(folder, entries):
    load_metrics(folder)
    change(folder, **entries)
    with pytest.raises(UserError, match="is damaged"):
        load_metrics(folder)


def test_weights_are_read_only_beside_their_checksum(folder):
    load_predictor(folder.parent, "cpu")
    content = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(
        json.dumps({("sha356" if k == "sha256" else k): v for k, v in content.items()})
    )
    with pytest.raises(UserError, match="another checksum"):
        load_predictor(folder.parent, "cpu")
    (folder / "metrics.json").unlink()
    for path in (folder, folder.parent):
        with pytest.raises(UserError, match="no finished run"):
            load_predictor(path, "cpu")


@pytest.mark.parametrize("name", ["weights.safetensors", "metrics.json", "history.csv"])
def test_a_ruined_run_is_not_taken_for_finished(folder, name):
    assert is_finished(folder, SMOKE)
    (folder / name).write_bytes(b"x")
    with pytest.raises(UserError, match="train the run again"):
        is_finished(folder, SMOKE)


def test_an_evaluation_is_not_put_into_a_run_that_was_trained_meanwhile(folder):
    run = Run.load(folder)
    trained_anew = replace(run, metrics=run.metrics | {"sha256": {"weights": "0" * 64, "history": "0" * 64}})
    logits = np.zeros((100, 100), np.float32)
    result = Evaluation(trained_anew, nn.Identity(), tiny_split("test"), logits, 1.0, 0.1)
    before = (folder / "metrics.json").read_bytes()
    with pytest.raises(UserError, match="trained anew in the meantime"):
        save_evaluation(result, {})
    assert (folder / "metrics.json").read_bytes() == before


def test_hardware_is_named_as_pages_can_show_it():
    plain = "Intel Xeon CPU @ 2.20GHz, 2 threads, resnet18_onecycle"
    assert make_plain(plain) == plain
    for text in ("A|B <x> @me", "__a__ $b$", "http://x.org\n\x1b[31m"):
        assert is_plain(make_plain(text)) and not is_plain(text)


@pytest.mark.parametrize("name", ["../outside", "/etc", "a/b", "", ".", "-x"])
def test_a_recipe_is_named_as_a_folder_can_be(folder, name):
    settings = json.loads((folder / "recipe.json").read_text()) | {"name": name}
    with pytest.raises(UserError, match="holds no settings of a recipe .its name"):
        read_settings(settings, folder / "recipe.json")
