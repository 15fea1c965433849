"""A run that is killed, stopped or damaged, anywhere, is resumed or refused: nothing is lost."""

import json
import random
import subprocess
import time
from pathlib import Path

import pytest

from cifar100.errors import UserError
from cifar100.recipes import SMOKE
from cifar100.runs.find import running_folder
from cifar100.runs.run import holds_another, is_finished
from tests.faults import crashes, damage, supply
from tests.faults.children import Run, Trap
from tests.faults.tally import Tally, render_table

ROOT = Path(__file__).resolve().parents[2]


def passes(tally: Tally, tried: int) -> bool:
    assert tally.lost == []
    return tally.tried >= tried


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return crashes.set_stage(tmp_path_factory.mktemp("crashes"))


def test_killed_at_three_moments_nothing_is_lost(stage):
    moments = crashes.list_moments(stage)
    assert len(moments) >= 50
    *chosen, at_random = [*random.Random(1).sample(moments[:-12], 2), moments[-1]]
    assert passes(crashes.kill_and_resume(stage, [*chosen, at_random]), 3)


def test_killed_while_a_run_takes_its_place(stage):
    assert stage.seen["rename"] == 2  # the older run goes, the new one comes: in between there is none
    assert crashes.kill_and_resume(stage, [(Trap("rename", 2), 0.0)]).recovered == 1


def test_killed_while_the_older_run_is_half_deleted(stage):
    # The last changes: four files of the older run, its folder, and the folder in which the new one grew.
    assert crashes.kill_and_resume(stage, [(Trap("file", stage.seen["file"] - 3), 0.0)]).recovered == 1


def test_a_lost_checkpoint_is_noticed(stage):
    output = stage.make_output("lost")
    killed = Run(output, Trap("step", 6))
    killed.end()
    (running_folder(crashes.seed_folder(output)) / "checkpoint.pt").unlink()
    assert "2 epochs were finished, and some of them trained again" == crashes.judge(stage, output, killed)


def test_stopped_it_keeps_what_it_has(stage):
    assert passes(crashes.stop_and_resume(stage, 1), 1)


def test_a_full_disk_and_a_folder_that_nobody_can_write(stage):
    assert crashes.fill_the_disk(stage, (300_000,)).refused == 1
    assert crashes.write_where_nobody_can(stage).refused == 3


def test_the_second_run_of_a_folder_is_refused(stage):
    assert crashes.train_twice_at_once(stage).refused == 1


def test_damage_is_noticed(tmp_path):
    for tally in damage.damage_all(tmp_path, 35):
        assert passes(tally, 25)


def test_a_damaged_run_may_be_trained_again_but_is_not_taken_for_finished(tmp_path):
    folder = damage.make_run(tmp_path)
    assert is_finished(folder, SMOKE) and not holds_another(folder, SMOKE)
    text = (folder / "recipe.json").read_text()
    (folder / "recipe.json").write_text(text.replace('"lr": 0.05', '"lr": 0.06'))
    with pytest.raises(UserError, match="another lr than the weights beside it .0.06, not 0.05"):
        is_finished(folder, SMOKE)
    assert holds_another(folder, SMOKE)


def test_what_was_lost_is_told():
    tally = Tally("a suite")
    for outcome in ("refused", "recovered", "unharmed", "unharmed", "it raises"):
        tally.note(outcome, "a case")
    assert tally.lost == ["a case: it raises"] and tally.tried == 5
    assert "| a suite | 5 | 1 | 1 | 2 | 1 |\n| **all** | **5** |" in render_table([tally.to_dict()])


def test_the_oracles_see_what_they_are_for(tmp_path, monkeypatch):
    """A reader that takes anything for good, one that breaks and one that hangs are noticed."""
    path, tally = tmp_path / "file.csv", Tally("a suite")
    path.write_bytes(b"0123456789")
    damage.damage_file(path, {"copy": path.read_bytes}, 20, tally)
    assert len(tally.lost) == tally.tried > 10 and path.read_bytes() == b"0123456789"
    assert "raises ValueError" in damage.judge({"int": lambda: int("x")}, {})

    def hang():  # as readers are: whatever goes wrong becomes a UserError
        try:
            time.sleep(10)
        except Exception as error:
            raise UserError("It is damaged.") from error

    monkeypatch.setattr(damage, "SECONDS", 0.2)
    assert damage.judge({"hang": hang}, {}) == "hang hangs"


def test_the_notebook_installs_what_requirements_name_and_nothing_else(tmp_path, monkeypatch):
    notebook = json.loads((ROOT / "CIFAR100_ResNet.ipynb").read_text(encoding="utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    (bootstrap,) = [source for source in sources if "pip" in source]
    commands = []

    def run(command, check):
        commands.append(list(map(str, command)))
        if command[0] == "git":
            Path(command[-1]).mkdir()
            (Path(command[-1]) / "requirements.txt").write_bytes((ROOT / "requirements.txt").read_bytes())

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setattr(subprocess, "run", run)
    address = "https://github.com/someone/cifar100"
    lines = [
        f'REPOSITORY = "{address}"' if line.startswith("REPOSITORY =") else line for line in bootstrap.splitlines()
    ]
    exec("\n".join(lines), {})
    (clone, install) = commands
    assert address in clone
    named = [part for part in install[install.index("install") + 1 :] if not part.startswith("-")]
    assert named and set(named) <= set(supply.read_requirements())


def test_lower_bounds_are_those_of_the_requirements():
    assert supply.lower_bounds(["torch>=2.4", "gradio>=6.31,<7", "albumentations==2.0.8"]) == [
        "torch==2.4",
        "gradio==6.31",
        "albumentations==2.0.8",
    ]
    assert all("==" in bound for bound in supply.lower_bounds(supply.read_requirements()))
    assert all((ROOT / test).exists() for test in supply.TESTS)
