"""What a Run All decides: train or load, which recipe, and where a run goes when it has finished elsewhere."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from cifar100.errors import UserError
from cifar100.lr_finder import save_curve, suggest_lr
from cifar100.notebook import session
from cifar100.recipes import RECIPES, SMOKE
from cifar100.runs.find import RUN_FILES, run_folder, running_folder
from cifar100.runs.history import EpochRecord, load_history, save_history
from cifar100.runs.place import claim
from cifar100.runs.run import load_metrics, make_metrics, save_recipe
from cifar100.train import fit
from tests.conftest import tiny_split

TINY = replace(SMOKE, epochs=2, batch_size=100)


@pytest.fixture
def place(monkeypatch, tmp_path):
    """An empty project folder as the working directory, and a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cifar100.notebook.session.choose_device", lambda: torch.device("cpu"))
    return tmp_path


@pytest.fixture
def gpu(place, monkeypatch):
    monkeypatch.setattr("cifar100.notebook.session.choose_device", lambda: torch.device("cuda"))


def finish(name: str, output="output", weights=True) -> None:
    """Leave what is taken for a finished run, of one epoch."""
    recipe, history = RECIPES[name], [EpochRecord(1, 0.1, 4.0, 0.1, 4.0, 0.1)]
    folder = run_folder(recipe, output)
    save_recipe(folder, recipe)
    save_history(folder, history)
    (folder / "weights.safetensors").write_bytes(save({"filters": np.zeros(1)}))
    facts = {"data": "CIFAR-100", "seconds": 1.0, "images_per_second": 1.0, "hardware": "abacus", "commit": None}
    metrics = make_metrics(recipe, history, folder, versions={"torch": "2.5"}, **facts)
    if not weights:
        (folder / "weights.safetensors").unlink()
    (folder / "metrics.json").write_text(json.dumps(metrics))


def decide(**variables) -> tuple[str, bool]:
    with patch.dict(os.environ, {f"CIFAR100_{name}": value for name, value in variables.items()}):
        started = session.start_session()
        return started.recipe.name, started.trains


def test_without_a_gpu_it_loads_what_was_asked_for(place):
    finish("sprint")
    finish("resnet56_multistep")
    assert decide() == ("resnet56_multistep", False)
    assert decide(RECIPE="sprint") == ("sprint", False)
    assert decide(TRAIN="yes") == ("resnet56_multistep", True)


def test_the_result_stands_at_the_top_where_there_is_one(place):
    finish("resnet56_multistep")
    assert session.start_session().describe_result().startswith("Result: 10.00% top-1 on the test set after 1 epochs")
    with patch.dict(os.environ, {"CIFAR100_TRAIN": "yes"}):
        assert "chapter 8" in session.start_session().describe_result()


def test_a_range_test_that_is_kept_is_loaded_unless_a_training_begins(place, monkeypatch):
    finish("resnet56_multistep")
    recipe, said = RECIPES["resnet56_multistep"], []
    measured = suggest_lr([0.1 * k for k in range(1, 21)], [4.0] * 20)
    monkeypatch.setattr(session, "find_recipe_lr", lambda recipe, **options: (measured, "there"))
    started = session.start_session()
    assert started.find_lr(recipe, said.append) is measured and said == ["Measured, and kept as there."]
    save_curve(measured, "output/resnet56_multistep/lr_curve.csv")
    monkeypatch.setattr(session, "find_recipe_lr", lambda *given, **options: pytest.fail("it is kept already"))
    assert started.find_lr(recipe, said.append) == measured and "Loaded output" in said[-1]
    monkeypatch.setattr(session, "find_recipe_lr", lambda recipe, **options: (measured, "anew"))
    assert replace(started, trains=True).find_lr(recipe, said.append) is measured and "anew" in said[-1]


def test_what_cannot_be_shown_is_told_before_anything_runs(place):
    finish("sprint")
    with pytest.raises(UserError, match="resnet18_cutmix has no finished run in output, and there is no GPU: set"):
        decide(RECIPE="resnet18_cutmix")
    finish("resnet18_cutmix", weights=False)
    with pytest.raises(UserError, match="resnet18_cutmix was published without its weights: set CIFAR100_TRAIN=yes"):
        decide(RECIPE="resnet18_cutmix", TRAIN="no")


def test_with_a_gpu_it_trains_although_a_run_is_published(gpu):
    finish("resnet56_multistep")
    assert decide() == ("resnet56_multistep", True)
    assert decide(TRAIN="no") == ("resnet56_multistep", False)


def test_with_a_gpu_a_finished_run_in_a_folder_of_ones_own_is_loaded(gpu):
    assert decide(OUTPUT="drive") == ("resnet56_multistep", True)
    finish("resnet56_multistep", "drive")
    assert decide(OUTPUT="drive") == ("resnet56_multistep", False)
    assert decide(OUTPUT="drive", TRAIN="yes") == ("resnet56_multistep", True)


def test_without_a_gpu_the_published_run_is_found_from_a_folder_of_ones_own(place):
    finish("sprint")
    assert decide(OUTPUT="drive", RECIPE="sprint") == ("sprint", False)


def test_no_needs_something_to_load(gpu):
    with pytest.raises(UserError, match="resnet56_multistep has no finished run in output: set"):
        decide(TRAIN="no")


def test_the_sample_trains_smoke_on_any_machine(place, monkeypatch):
    assert decide(DATA="sample") == ("smoke", True)
    monkeypatch.setenv("CIFAR100_DATA", "sample")
    assert session.start_session().run == Path("output/sample/smoke/seed0")


def test_a_damaged_published_run_stands_in_nobodys_way_who_trains(gpu):
    finish("resnet56_multistep")
    Path("output/resnet56_multistep/seed0/history.csv").write_text("damaged")
    assert decide(TRAIN="yes") == decide() == ("resnet56_multistep", True)
    with pytest.raises(UserError, match="history.csv"):
        decide(TRAIN="no")


def test_wrong_values_get_a_sentence(place):
    with pytest.raises(UserError, match="CIFAR100_TRAIN must be one of auto, yes, no, not 'maybe'"):
        decide(TRAIN="maybe")
    with pytest.raises(UserError, match="Did you mean sprint?"):
        decide(RECIPE="sprnt")


def test_half_a_run_is_continued_from_its_checkpoint_and_a_torn_history_mended(place, tiny):
    started = session.Session(TINY, torch.device("cpu"), Path("output"), True, "")
    whole = list(fit(TINY, output="whole"))
    generator = fit(TINY, output="output")
    next(generator)
    generator.close()  # as when the kernel is interrupted
    history = running_folder(started.run) / "history.csv"
    history.write_text(history.read_text()[:-9])
    said = []
    assert list(started.records(said.append)) == whole
    assert any("Continuing after epoch 1, from the checkpoint; history.csv is written anew" in line for line in said)
    assert load_history(started.run) == load_history(Path("whole/smoke/seed0"))


def test_a_loaded_run_says_so_and_trains_nothing(place, tiny):
    list(fit(TINY, output="output"))
    started = session.Session(TINY, torch.device("cpu"), Path("output"), False, "")
    before = (started.run / "metrics.json").read_bytes()
    said = []
    assert list(started.records(said.append)) == load_history(started.run)
    assert said[0].startswith("Loaded output/smoke/seed0, trained on") and "Nothing is trained" in said[0]
    assert (started.run / "metrics.json").read_bytes() == before


def test_publishing_brings_a_run_home_and_renders_the_report(place, tiny, monkeypatch):
    list(fit(TINY, output="drive"))
    (place / "drive/smoke/11_curves.png").write_bytes(b"picture")
    (place / "pyproject.toml").write_text("[project.urls]\n")
    blocks = "".join(
        f"<!-- {name} -->\n<!-- end of {name} -->\n" for name in ("badge", "headline", "figures", "results")
    )
    (place / "README.md").write_text(blocks)
    monkeypatch.setattr("cifar100.evaluation.summary.load_pairs", lambda: [])
    started = session.Session(TINY, torch.device("cpu"), Path("drive"), False, "")
    changed = started.publish()
    assert place / "training_logs.md" in changed
    home = place / "output/smoke"
    assert {path.name for path in (home / "seed0").iterdir()} == set(RUN_FILES)
    assert json.loads((home / "seed0/metrics.json").read_text()) == load_metrics(started.run)
    assert (home / "11_curves.png").read_bytes() == b"picture"
    assert "Epoch [2/2]" in (place / "training_logs.md").read_text()
    assert f"{len(tiny_split('test').fine)} test images" in (home / "MODEL_CARD.md").read_text()
    assert started.publish() == []  # nothing is left to render


def test_a_run_that_could_not_be_copied_whole_replaces_nothing(place, tiny, monkeypatch):
    """The disk is full where metrics.json is copied, which is what tells a whole run from a part of one."""
    for output in ("output", "drive"):
        list(fit(replace(TINY, lr=0.02 if output == "output" else 0.05), output=output))
    home = place / "output/smoke/seed0"
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    replaced = os.replace

    def full(source, target):
        if Path(target).name == "metrics.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        replaced(source, target)

    started = session.Session(TINY, torch.device("cpu"), Path("drive"), False, "")
    with monkeypatch.context() as patch, pytest.raises(UserError, match="free some space"):
        patch.setattr(os, "replace", full)
        started.bring_home(home)
    with claim(home):  # what the next start does first
        pass
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    started.bring_home(home)
    assert (home / "recipe.json").read_bytes() == (started.run / "recipe.json").read_bytes() != before["recipe.json"]


def test_publishing_never_takes_the_place_of_an_unfinished_run(place, tiny):
    list(fit(TINY, output="drive"))
    (place / "output/smoke/seed0.running").mkdir(parents=True)
    checkpoint = place / "output/smoke/seed0.running/checkpoint.pt"
    checkpoint.write_bytes(b"hours of work")
    started = session.Session(TINY, torch.device("cpu"), Path("drive"), False, "")
    with pytest.raises(UserError, match="holds an unfinished run: finish it with --resume"):
        started.bring_home(place / "output/smoke/seed0")
    assert checkpoint.read_bytes() == b"hours of work"


def test_a_run_killed_in_its_first_epoch_is_trained_and_not_mistaken_for_the_published_one(place, tiny):
    list(fit(TINY, output="output"))
    started = session.Session(TINY, torch.device("cpu"), Path("output"), True, "")
    started.run.with_name("seed0.running").mkdir()  # as it is before the first checkpoint
    said = []
    assert len(list(started.records(said.append))) == 2
    assert not any("finished already" in line for line in said)
