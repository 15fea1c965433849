"""A finished run gives its place to a whole run alone, and nothing outside its place is touched."""

import json
import os
import shutil

import pytest

from cifar100.__main__ import main
from cifar100.errors import UserError
from cifar100.files import write_text
from cifar100.runs import place
from cifar100.runs.find import RUN_FILES, running_folder
from cifar100.runs.run import Run
from tests.faults.damage import make_run


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def outside(tmp_path):
    """A folder that is nobody's business."""
    (tmp_path / "outside/deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt", "metrics.json", "checkpoint.pt", "pid"):
        (tmp_path / "outside" / name).write_text("dear")
    return tmp_path / "outside"


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def train(folder, *options):
    """The exit code of a training in the folder's place, which has to be refused before it begins."""
    place = ["--data", "elsewhere", "--device", "cpu", "--output", str(folder.parents[1])]
    return main(["train", "smoke", "--epochs", "1", *place, *options])


@pytest.mark.parametrize("options", [[], ["--resume"], ["--skip-finished", "--resume", "--lr", "0.01"]])
def test_garbage_does_not_replace_a_finished_run(folder, options, tiny, capsys):
    running, before = running_folder(folder), contents(folder)
    running.mkdir()
    (running / "metrics.json").write_text("garbage")
    assert train(folder, *options) == 2
    captured = capsys.readouterr().err
    assert "holds a metrics.json, but no finished run" in captured and captured.count("\n") == 1
    assert contents(folder) == before and (running / "metrics.json").read_text() == "garbage"


def break_weights(running):
    (running / "weights.safetensors").write_bytes(b"x")


def forget(name):
    return lambda running: (running / name).unlink()


def link_metrics(running):
    shutil.move(running / "metrics.json", running.parent / "elsewhere.json")
    (running / "metrics.json").symlink_to(running.parent / "elsewhere.json")


def rename_seed(running):
    for name in ("recipe.json", "metrics.json"):
        content = json.loads((running / name).read_text()) | {"seed": 7}
        write_text(running / name, json.dumps(content))
    (running / "weights.safetensors").unlink()


@pytest.mark.parametrize(
    "change", [break_weights, link_metrics, rename_seed, *map(forget, ("recipe.json", "history.csv"))]
)
def test_a_run_takes_its_place_only_when_it_is_whole(folder, change):
    running = running_folder(folder)
    shutil.copytree(folder, running)
    (folder / "mine.txt").write_text("the older run")
    change(running)
    for act in (place.take_place, place.recover):
        with pytest.raises(UserError, match="holds a metrics.json, but no finished run"):
            act(folder)
    assert (folder / "mine.txt").exists() and Run.load(folder)


def test_a_whole_run_takes_its_place_and_links_beside_it_are_not_followed(folder, outside):
    running, before = running_folder(folder), contents(outside)
    shutil.copytree(folder, running)
    (running / "link").symlink_to(outside)
    (running / "checkpoint.pt").symlink_to(outside / "a.txt")
    (folder / "mine.txt").write_text("the older run")
    place.take_place(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(RUN_FILES)
    assert contents(outside) == before


FOLDERS = ("smoke", "seed0", "seed0.running", "seed0.replaced")


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in (*FOLDERS, ".seed0.lock") for kind in ("link", "pipe", "device")]
    + [(name, "file") for name in FOLDERS],
)
def test_nothing_of_the_place_is_a_link_a_pipe_or_a_device(tmp_path, outside, name, kind, tiny, capsys):
    folder, before = tmp_path / "output/smoke/seed0", contents(outside)
    hostile = folder.parent if name == "smoke" else folder.with_name(name)
    hostile.parent.mkdir(parents=True)
    if kind == "link":
        hostile.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(hostile)
    elif kind == "device":
        hostile.symlink_to("/dev/zero")
    else:
        hostile.write_text("dear")
    assert train(folder) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("Error: ") and captured.count("\n") == 1 and "remove it" in captured
    assert contents(outside) == before and os.path.lexists(hostile)


@pytest.mark.parametrize("name", ["checkpoint.pt", "pid", "history.csv", "recipe.json", "weights.safetensors"])
@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_what_an_unfinished_run_holds_may_be_anything(tmp_path, outside, name, kind, tiny, capsys):
    """It is replaced or refused, never followed or waited for."""
    running, before = tmp_path / "output/smoke/seed0.running", contents(outside)
    running.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(running / name)
    else:
        (running / name).symlink_to("/dev/zero" if kind == "device" else outside / "a.txt")
    options = [
        "--data",
        "elsewhere",
        "--epochs",
        "1",
        "--device",
        "cpu",
        "--output",
        str(tmp_path / "output"),
        "--resume",
    ]
    code = main(["train", "smoke", *options])
    assert code == (2 if name == "checkpoint.pt" else 0)
    assert contents(outside) == before
    if code == 2:
        assert capsys.readouterr().err.count("\n") == 1
