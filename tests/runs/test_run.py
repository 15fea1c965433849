"""A run is read whole or not at all, and gives its place to a whole run alone."""

import errno
import fcntl
import json
import shutil
from dataclasses import replace

import pytest

from cifar100.errors import UserError
from cifar100.network import load_network
from cifar100.recipes import SMOKE
from cifar100.runs.find import RUN_FILES, find_run, running_folder
from cifar100.runs.place import claim, locked, take_place
from cifar100.runs.run import Run, load_metrics, main_hardware, note_epoch, save_recipe
from tests.conftest import make_run


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path / "output")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", RUN_FILES)
@pytest.mark.parametrize(
    "damage", [lambda content: content[:-9], lambda content: b"", lambda content: b"\xff" + content]
)
def test_a_damaged_file_is_named(folder, name, damage):
    assert Run.load(folder).history and load_network(folder)
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=name):
        Run.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": -1},
        {"images_per_second": None},
        {"data": "cats"},
        {"versions": []},
        {"sha256": {"weights": "0" * 64}},
        {"machines": [{"hardware": "abacus"}]},
        {"final": {"epoch": 1, "test_accuracy": 0.9}},
        {"epochs": 7},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_metrics_that_cannot_be_are_refused(folder, change):
    metrics = load_metrics(folder) | change
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(UserError, match=f"metrics.json.*{next(iter(change))}"):
        Run.load(folder)


def test_a_table_with_the_line_ends_of_windows_is_the_same(folder):
    path = folder / "history.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert Run.load(folder).history[0].eval_accuracy == 0.5


def test_a_pointer_of_git_lfs_is_named(folder):
    (folder / "weights.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    for read in (Run.load, load_network):
        with pytest.raises(UserError, match="git lfs pull"):
            read(folder)


def test_the_lowest_seed_with_weights_stands_for_a_recipe(folder):
    make_run(folder.parents[1], replace(SMOKE, seed=10))
    second = make_run(folder.parents[1], replace(SMOKE, seed=2))
    (folder / "weights.safetensors").unlink()
    assert find_run(folder.parent) == second and Run.load(folder)
    with pytest.raises(UserError, match="no weights.safetensors: train it again"):
        find_run(folder)


def test_a_replacement_that_was_cut_off_is_finished(folder):
    replaced, expected = folder.with_name("seed0.replaced"), contents(folder)
    folder.rename(replaced)  # killed between the two renames, before the new run was complete
    with claim(folder):
        assert contents(folder) == expected and not replaced.exists()
    folder.rename(running_folder(folder))  # killed when it was
    with claim(folder):
        assert contents(folder) == expected


@pytest.mark.parametrize("name", RUN_FILES)
def test_what_is_not_complete_does_not_take_the_place(folder, name):
    before, running = contents(folder), running_folder(folder)
    shutil.copytree(folder, running)
    (running / name).unlink()
    with pytest.raises(UserError):
        take_place(folder)
    assert contents(folder) == before


def test_a_run_of_another_seed_does_not_take_the_place(folder):
    before = contents(folder)
    shutil.copytree(make_run(folder.parents[2] / "other", replace(SMOKE, seed=1)), running_folder(folder))
    with pytest.raises(UserError, match="delete that folder"):
        take_place(folder)
    assert contents(folder) == before


def test_two_processes_do_not_write_one_run(folder):
    with claim(folder):
        with pytest.raises(UserError, match="Another process is writing"):
            with locked(folder):
                pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_file_system_without_locks_serves(folder, monkeypatch, capsys, number):
    def refuse(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claim(folder) as running:
        save_recipe(running, SMOKE)
    said = "has no locks: let only one process write there" in capsys.readouterr().out
    assert said or number == errno.ENOSYS  # for which newer releases of filelock have a lock of their own


def test_the_machine_that_trained_most_epochs_is_the_runs():
    machines = []
    for epoch, hardware in enumerate("ABBA", start=1):
        note_epoch(machines, hardware, epoch)
    assert [machine["epochs"] for machine in machines] == [[1, 1], [2, 3], [4, 4]]
    assert main_hardware(machines[:2]) == "B"
