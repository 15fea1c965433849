"""What a Run All decides: train or load, which recipe, and where a run goes when it has finished elsewhere."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cifar100.errors import UserError
from cifar100.notebook import session
from cifar100.notebook.session import Session, bring_home, choose_data, publish, start_session
from cifar100.recipes import RECIPES, SMOKE
from cifar100.runs.find import RUN_FILES
from cifar100.runs.place import claim
from cifar100.train import fit
from tests.report.test_pages import make_run

TINY = replace(SMOKE, epochs=2, batch_size=100)


@pytest.fixture
def place(monkeypatch, tmp_path):
    """An empty project folder as the working directory, and a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIFAR100_DATA", "")
    monkeypatch.setattr(session, "choose_device", lambda: torch.device("cpu"))
    return tmp_path


@pytest.fixture
def gpu(place, monkeypatch):
    monkeypatch.setattr(session, "choose_device", lambda: torch.device("cuda"))


def decide(recipe="resnet56_multistep", **parameters) -> tuple[str, bool]:
    started = start_session(Path.cwd(), recipe, **parameters)
    return started.recipe.name, started.trains


def finish(name: str, output="output", weights=True, seed=0) -> None:
    folder = make_run(output, replace(RECIPES[name], seed=seed), [0.1])
    if not weights:
        (folder / "weights.safetensors").unlink()


def test_without_a_gpu_it_loads_what_was_asked_for(place):
    finish("sprint")
    finish("resnet56_multistep")
    assert decide() == ("resnet56_multistep", False)
    assert decide("sprint") == decide("sprint", output="drive") == ("sprint", False)
    assert decide(train="yes") == ("resnet56_multistep", True)
    with pytest.raises(UserError, match="resnet56_multistep, seed 1, has no finished run with weights in output, and"):
        decide(seed=1)
    finish("resnet18_cutmix", weights=False)
    with pytest.raises(UserError, match="resnet18_cutmix, seed 0, has no finished run with weights"):
        decide("resnet18_cutmix", train="no")


def test_with_a_gpu_it_trains_although_a_run_is_published(place, gpu):
    finish("resnet56_multistep")
    assert decide() == ("resnet56_multistep", True)
    assert decide(train="no") == ("resnet56_multistep", False)
    (place / "output/resnet56_multistep/seed0/history.csv").write_text("damaged")
    assert decide() == decide(train="yes") == ("resnet56_multistep", True)


def test_with_a_gpu_a_finished_run_in_a_folder_of_ones_own_is_loaded(place, gpu):
    assert decide(output="drive") == ("resnet56_multistep", True)
    finish("resnet56_multistep", place / "drive")
    assert decide(output="drive") == ("resnet56_multistep", False)


def test_the_sample_trains_smoke_on_any_machine(place):
    started = start_session(place, "resnet56_multistep", data=" 'sample' ")
    assert started.recipe.name == "smoke" and started.trains and started.run == Path("output/sample/smoke/seed0")


def test_wrong_values_get_a_sentence(place):
    with pytest.raises(UserError, match="TRAIN must be auto, yes or no, not 'maybe'"):
        decide(train="maybe")
    with pytest.raises(UserError, match="Did you mean sprint?"):
        decide("sprnt")


def test_paths_count_from_where_the_user_stands_and_stay(place, monkeypatch):
    desk = place / "desk"
    choose_data(' "my data" ', desk)
    assert os.environ["CIFAR100_DATA"] == str(desk / "my data")
    choose_data("", place)  # a second run of the cell
    assert os.environ["CIFAR100_DATA"] == str(desk / "my data")
    monkeypatch.setenv("CIFAR100_DATA", "")
    finish("sprint")
    assert start_session(desk, "sprint", train="yes", output="runs").output == desk / "runs"
    with pytest.raises(UserError, match=f"PICTURE names {desk}/cat.jpg, which is not there"):
        start_session(desk, "sprint", picture="cat.jpg")


def test_a_drive_that_is_not_mounted_is_told(place):
    (place / "drive").mkdir()  # empty
    with pytest.raises(UserError, match="no Google Drive is mounted there"):
        decide(output="drive/MyDrive/runs", train="yes")
    with pytest.raises(UserError, match="no Google Drive is mounted there"):
        decide(output="/content/drive/runs", train="yes")
    (place / "drive/MyDrive").mkdir()
    assert decide(output="drive/MyDrive/runs", train="yes") == ("resnet56_multistep", True)


def make_session(output: str) -> Session:
    return Session(TINY, torch.device("cpu"), Path(output), False, "", None)


def test_publishing_brings_a_run_home_and_renders_the_report(place, tiny, monkeypatch):
    list(fit(TINY, output="drive"))
    (place / "drive/smoke/09_curves.png").write_bytes(b"image")
    monkeypatch.setattr(session, "write_all", lambda root: [root / "training_logs.md"])
    assert publish(make_session("drive")) == [place / "training_logs.md"]
    home = place / "output/smoke"
    assert {path.name for path in (home / "seed0").iterdir()} == set(RUN_FILES)
    assert (home / "seed0/metrics.json").read_bytes() == (place / "drive/smoke/seed0/metrics.json").read_bytes()
    assert '"evaluation"' in (home / "seed0/metrics.json").read_text()
    assert (home / "09_curves.png").read_bytes() == b"image"


def test_a_run_that_cannot_be_copied_whole_replaces_nothing(place, tiny, monkeypatch):
    """The disk is full where metrics.json is copied, which is what tells a whole run from a part of one."""
    for output in ("output", "drive"):
        list(fit(replace(TINY, lr=0.02 if output == "output" else 0.05), output=output))
    run, home = place / "drive/smoke/seed0", place / "output/smoke/seed0"
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    replaced = os.replace

    def full(source, target):
        if Path(target).name == "metrics.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        replaced(source, target)

    with monkeypatch.context() as patch, pytest.raises(UserError, match="free some space"):
        patch.setattr(os, "replace", full)
        bring_home(run, home)
    with claim(home):  # what the next start does first
        pass
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    bring_home(run, home)
    assert (home / "recipe.json").read_bytes() == (run / "recipe.json").read_bytes() != before["recipe.json"]


def test_publishing_never_takes_the_place_of_an_unfinished_run(place, tiny):
    run = make_run("drive", TINY, [0.1])
    checkpoint = place / "output/smoke/seed0.running/checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"hours of work")
    with pytest.raises(UserError, match="holds an unfinished run: finish it with --resume"):
        bring_home(run, place / "output/smoke/seed0")
    assert checkpoint.read_bytes() == b"hours of work"
