"""What a Run All decides: train or load, where its paths count from, and where a run goes when it has finished."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cifar100.errors import UserError
from cifar100.notebook import session
from cifar100.notebook.session import Session, choose_data, publish, start_session
from cifar100.recipes import RECIPES, SMOKE
from cifar100.runs.find import RUN_FILES
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
    assert not trains() and not trains(output="drive")
    assert trains(train="yes")
    with pytest.raises(UserError, match=f"{NAME}, seed 1, has no finished run with weights in output, and nothing"):
        trains(seed=1)


def test_with_a_gpu_a_finished_run_of_ones_own_is_loaded_but_not_a_published_one(place, monkeypatch):
    monkeypatch.setattr(session, "choose_device", lambda: torch.device("cuda"))
    make_run("output", RECIPES[NAME], [0.1])
    assert trains() and trains(output="drive") and not trains(train="no")
    make_run(place / "drive", RECIPES[NAME], [0.1])
    assert not trains(output="drive")


def test_paths_count_from_where_the_user_stands_and_stay(place):
    desk = place / "desk"
    for folder in (desk, place):  # the second time, the working directory has moved
        choose_data(' "my data" ' if folder == desk else "", folder)
        assert os.environ["CIFAR100_DATA"] == str(desk / "my data")
    assert start_session(desk, NAME, train="yes", output="runs").output == desk / "runs"
    with pytest.raises(UserError, match=f"PICTURE names {desk}/cat.jpg, which is not there"):
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
    monkeypatch.setattr(session, "write_all", lambda root: [root / "training_logs.md"])
    finished, home = Session(recipe, torch.device("cpu"), Path("drive"), False, None), place / "output/smoke"
    assert publish(finished) == [place / "training_logs.md"]
    assert {path.name for path in (home / "seed0").iterdir()} == set(RUN_FILES)
    assert '"evaluation"' in (home / "seed0/metrics.json").read_text()
    assert (home / "09_curves.png").read_bytes() == b"image"
