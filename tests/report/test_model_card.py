"""The model card says of a run what the run has left, whichever images it was trained and measured on."""

import json
from copy import deepcopy
from dataclasses import replace

import pytest

from cifar100.evaluation.corruptions import SEVERITIES, STRENGTHS, save_corruptions, table_file
from cifar100.files import write_text
from cifar100.report.model_card import render_card
from cifar100.runs.find import find_run
from cifar100.runs.run import Run
from tests.conftest import ROOT


@pytest.fixture
def published():
    return Run.load(find_run(ROOT / "output/sprint"))


@pytest.fixture
def held_out(published):
    """What a hold-out run of the same figures would have left."""
    metrics = deepcopy(published.metrics)
    metrics["evaluation"] |= {"images": 5000, "without_duplicates": None}
    metrics["evaluation"]["temperature"]["method"] = "two-fold on the validation set"
    return replace(published, metrics=metrics, history=[replace(r, eval_split="validation") for r in published.history])


def test_a_run_on_all_images_says_so_and_names_its_duplicates(published):
    card = render_card(published)
    assert "- Data: the 50,000 training images of CIFAR-100 (Krizhevsky 2009), all of them, and nothing else" in card
    assert "10,000 test images |" in card and "near duplicate in the training set" in card
    assert "- Made by `python -m cifar100 train sprint`: " in card


def test_a_hold_out_run_says_what_it_was_not_trained_on(held_out):
    card = render_card(held_out)
    assert "- Data: 45,000 of the 50,000 training images" in card and "the other 5,000 were held out\n" in card
    assert "5,000 held-out images |" in card and "- Made by `python -m cifar100 train sprint --holdout`: " in card
    assert "all of them" not in card and "test images" not in card and "near duplicate" not in card


def test_a_run_on_the_sample_says_so(published):
    card = render_card(replace(published, metrics=published.metrics | {"data": "sample"}))
    assert "- Data: the embedded sample" in card and "train sprint --data sample`" in card
    assert "training images of CIFAR-100" not in card


def test_what_was_measured_beside_the_run_is_told_where_it_is_of_this_run(published, tmp_path):
    folder = tmp_path / "output" / "sprint" / "seed0"
    moved = replace(published, folder=folder)
    bare = render_card(moved)
    assert "Damaged" not in bare and "photographs of other things were not measured" in bare
    rows = [("clean", 0, 0.75), *((name, k, k / 10) for name in STRENGTHS for k in SEVERITIES)]
    save_corruptions(rows, 2000, published.metrics["sha256"]["weights"], table_file(folder))
    figures = tmp_path / "output" / "bench" / "unseen.json"
    for recipe, told in (("another", False), ("sprint", True)):
        write_text(figures, json.dumps({"recipe": recipe}))
        write_text(figures.with_suffix(".md"), "| people (500) | 0.800 |\n")
        card = render_card(moved)
        assert "| as they are | noise | blur |" in card and "| 2,000 | 75.00% | 30.00% |" in card
        assert ("people (500)" in card, "were not measured" in card) == (told, not told)
