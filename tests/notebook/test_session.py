"""What a Run All decides: train or load, where its paths count from, where a run goes; and what it shows as text."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cifar100 import recipes
from cifar100.errors import UserError
from cifar100.notebook import session
from cifar100.notebook.session import Session, choose_data, publish, start_session
from cifar100.notebook.showcase import pick_examples
from cifar100.notebook.tables import list_results, recipe_source, summarise_ranges
from cifar100.recipes import RECIPES, SMOKE
from cifar100.report import published
from cifar100.runs.find import RUN_FILES
from cifar100.runs.history import EpochRecord
from cifar100.runs.run import Run
from cifar100.train import fit
from tests.report.test_pages import make_run

NAME = "resnet56_multistep"


@pytest.fixture
def place(monkeypatch, tmp_path):
    """An empty project folder as the working directory, and a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIFAR100_DATA", "")
    monkeypatch.setattr(session, "choose_device", lambda: torch.device("cpu"))
    return tmp_path


def trains(recipe=NAME, **parameters) -> bool:
    return start_session(Path.cwd(), recipe, **parameters).trains


def test_without_a_gpu_it_loads_what_was_asked_for(place):
    make_run("output", RECIPES[NAME], [0.1])
    assert trains(train="yes") and not trains() and not trains(output="drive")
    with pytest.raises(UserError, match=f"{NAME}, seed 1, has no finished run with weights and these settings in"):
        trains(seed=1)


def test_with_a_gpu_a_finished_run_of_ones_own_is_loaded_but_not_a_published_one(place, monkeypatch):
    monkeypatch.setattr(session, "choose_device", lambda: torch.device("cuda"))
    shipped = make_run("output", RECIPES[NAME], [0.1], weights=b"ours")
    monkeypatch.setattr(published, "LIST", place / "published.json")
    published.LIST.write_text(json.dumps({"": Run.load(shipped).metrics["sha256"]["weights"]}))
    assert trains() and trains(output="drive") and not trains(train="no")
    shutil.rmtree(shipped)
    for output in ("drive", "output"):  # in the project's own output, too
        make_run(output, RECIPES[NAME], [0.1], weights=b"their own")
        assert not trains(output=output) and trains(output=output, train="yes")


def test_paths_count_from_where_the_user_stands_and_stay(place):
    desk = place / "desk"
    for folder in (desk, place):  # the second time, the working directory has moved
        choose_data(' "my data" ' if folder == desk else "", folder)
        assert os.environ["CIFAR100_DATA"] == str(desk / "my data")
    assert start_session(desk, NAME, train="yes", output="runs").output == desk / "runs"
    with pytest.raises(UserError, match=f"PICTURE was not found: {desk}/cat.jpg"):
        start_session(desk, NAME, picture="cat.jpg")


def test_a_drive_that_is_not_mounted_is_told(place):
    (place / "drive").mkdir()  # empty
    for output in ("drive/MyDrive/runs", "/content/drive/runs"):
        with pytest.raises(UserError, match="no Google Drive is mounted there"):
            trains(output=output, train="yes")
    (place / "drive/MyDrive").mkdir()
    assert trains(output="drive/MyDrive/runs", train="yes")


def test_publishing_brings_a_run_home_whole_and_evaluated(place, tiny, monkeypatch):
    recipe = replace(SMOKE, epochs=1, batch_size=100)
    list(fit(recipe, output="drive"))
    (place / "drive/smoke/09_curves.png").write_bytes(b"image")
    monkeypatch.setattr(session, "write_all", lambda root, notebooks: [root / "training_logs.md"])
    finished, home = Session(recipe, torch.device("cpu"), Path("drive"), False, None), place / "output/smoke"
    assert publish(finished) == [place / "training_logs.md"]
    assert {path.name for path in (home / "seed0").iterdir()} == set(RUN_FILES)
    assert '"evaluation"' in (home / "seed0/metrics.json").read_text()
    assert (home / "09_curves.png").read_bytes() == b"image"


def test_the_code_of_a_recipe_makes_that_recipe():
    for name in RECIPES:
        made: dict = {}
        exec(recipe_source(name), dict(vars(recipes)), made)
        assert list(made.values())[-1] == RECIPES[name]


def test_a_run_is_told_by_the_ranges_between_its_changes():
    accuracies = enumerate((0.1, 0.2, 0.5, 0.52, 0.6, 0.59), start=1)
    history = [EpochRecord(epoch, 0.1, 1.0, test + 0.02, 1.0, test) for epoch, test in accuracies]
    rows = summarise_ranges(history, replace(RECIPES[NAME], epochs=6, milestones=(2, 4)))
    assert [row["epochs"] for row in rows] == ["1-2", "3-4", "5-6"]
    assert [row["leap"] for row in rows] == ["-", "+35.0", "+27.0"]
    assert [row["typical change"] for row in rows] == ["10.0", "2.0", "1.0"]
    assert rows[0]["test %"] == "10.0 to 20.0" and rows[2]["gap"] == "+2.0 to +2.0"


def test_results_of_a_run_are_told_with_its_targets(tmp_path):
    run = Run.load(make_run(tmp_path, RECIPES[NAME], [0.5, 0.735], seconds=90))
    told = {row["measure"]: row["resnet56_multistep, seed 0"] for row in list_results(run, np.eye(100), np.arange(100))}
    assert told["the course asks for: 73.00%"] == "reached"
    assert told["the report's best: 73.84%"] == "missed by 0.34 points"
    assert told["training accuracy"] == "78.50%, +5.0 points from the test"


def test_the_most_confident_examples_come_first_one_of_each_superclass():
    probabilities, labels = np.zeros((5, 100)), np.array([0, 0, 1, 2, 3])  # two apples, then other superclasses
    probabilities[range(5), (0, 0, 1, 5, 6)] = 0.7, 0.9, 0.8, 0.6, 0.95
    assert pick_examples(probabilities, labels, True, 8).tolist() == [1, 2]
    assert pick_examples(probabilities, labels, False, 8).tolist() == [4, 3]
