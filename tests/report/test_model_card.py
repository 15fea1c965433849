"""The model card says of a run what the run has left, whichever images it was trained and measured on."""

from copy import deepcopy
from dataclasses import replace

import pytest

from cifar100.evaluation.corruptions import SEVERITIES, STRENGTHS, save_corruptions, table_file
from cifar100.report.run_pages import render_card
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
    return replace(published, metrics=metrics, history=[replace(r, eval_split="validation") for r in published.history])


def test_a_run_on_all_images_says_so_and_names_its_duplicates(published):
    card = render_card(published)
    assert "- Data: only the 50,000 training images of CIFAR-100 (Krizhevsky 2009)" in card
    assert "10,000 test images |" in card and "near duplicate in the training set" in card
    assert "- Trained with `python -m cifar100 train sprint`: " in card
    own = published.metrics["evaluation"]["sets"]["0.9"]
    assert f"{own['coverage']:.2%} of the images and have {own['size']:.2f} classes" in card and "| - |" not in card


def test_a_hold_out_run_says_what_it_was_not_trained_on(held_out):
    card = render_card(held_out)
    assert "- Data: 45,000 of the 50,000 training images" in card and "the other 5,000 were held out\n" in card
    assert "5,000 held-out images |" in card and "- Trained with `python -m cifar100 train sprint --holdout`: " in card
    assert "only the 50,000" not in card and "test images" not in card and "near duplicate" not in card


def test_a_run_on_the_sample_says_so(published):
    card = render_card(replace(published, metrics=published.metrics | {"data": "sample"}))
    assert "- Data: only the embedded sample" in card and "train sprint --data sample`" in card
    assert "training images of CIFAR-100" not in card
    on_the_hub = render_card(replace(published, metrics=published.metrics | {"data": "sample"}), hub=True)
    assert "uoft-cs" not in on_the_hub and on_the_hub.startswith("# sprint")


def test_damaged_images_are_told_where_they_are_of_these_weights(published, tmp_path):
    folder = tmp_path / "sprint" / "seed0"
    moved = replace(published, folder=folder)
    assert "Corrupted images" not in render_card(moved)
    rows = [("clean", 0, 0.75), *((name, k, k / 10) for name in STRENGTHS for k in SEVERITIES)]
    for weights, told in (("of others", False), (published.metrics["sha256"]["weights"], True)):
        save_corruptions(rows, 2000, weights, table_file(folder))
        assert ("| 2,000 | 75.00% | 30.00% |" in render_card(moved)) == told


def test_on_the_hub_the_card_begins_with_its_metadata(published):
    card = render_card(published, hub=True)
    assert card.startswith("---\nlicense: mit\n") and "\n- uoft-cs/cifar100\n" in card
    assert f"value: {published.metrics['evaluation']['top1']:.4f}\n---\n\n# sprint, seed 0\n" in card
    assert card.endswith(render_card(published)) and "---\n" not in render_card(published)[:100]
