"""The suites in their short form; `make faults` runs the full one."""

import json
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from cifar100.errors import UserError
from cifar100.recipes import SMOKE
from cifar100.runs.find import running_folder
from cifar100.runs.run import holds_another, is_finished
from tests.faults import __main__ as full
from tests.faults import crashes, damage, hostile, long_run, serving
from tests.faults.__main__ import PAGE, RESULTS, render_page
from tests.faults.children import Run, Trap
from tests.faults.memory import plot_long_run
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


def test_hostile_files_do_nothing(tmp_path):
    for tally in hostile.try_all(tmp_path):
        costly = tally.name == "costly pictures"  # one of the three is only large, and taken
        assert tally.lost == [] and tally.refused + costly == tally.tried >= (3 if costly else 6), tally.name


def test_the_demo_answers_visitors_among_garbage(tmp_path):
    kinds = len(serving.make_garbage(serving.Page("", "", 0, tmp_path), b""))
    tally = serving.visit(tmp_path, 3 * kinds)  # every kind of garbage once
    assert passes(tally, 3 * kinds) and tally.refused == kinds


def test_a_leak_is_seen():
    level = [(k / 6, 500.0 + k % 3, 20 + k % 2) for k in range(60)]
    assert long_run.judge("a run", level, 10) == "unharmed"
    for grown in (
        [(minutes, memory + 10 * minutes, files) for minutes, memory, files in level],
        [(minutes, memory, files + int(minutes)) for minutes, memory, files in level],
    ):
        assert "grew" in long_run.judge("a run", grown, 10)
    assert "ended before" in long_run.judge("a run", level[:30], 10)
    died = long_run.judge_all({"training": level[:6], "serving": []}, 10)  # both, after one minute at most
    assert died.name.startswith("10 minutes") and len(died.lost) == 2
    drawn = plot_long_run({"training": level, "serving": level})
    assert [len(ax.lines) for ax in drawn.axes] == [2, 2] and len(drawn.png) < 150_000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not say what a process keeps")
def test_a_process_is_looked_at_all_the_while():
    samples = long_run.watch(os.getpid(), 0.01, lambda: time.sleep(0.001))
    assert len(samples) > 20 and all(memory > 10 and files > 2 for _, memory, files in samples)


def test_what_was_lost_is_told():
    tally = Tally("a suite")
    for outcome in ("refused", "recovered", "unharmed", "unharmed", "it raises"):
        tally.note(outcome, "a case")
    assert tally.lost == ["a case: it raises"] and tally.tried == 5
    assert "| a suite | 5 | 1 | 1 | 2 | 1 |\n| **all** | **5** |" in render_table([tally.to_dict()])


def test_the_oracles_see_what_they_are_for(tmp_path, monkeypatch):
    """A reader that takes anything for good, one that breaks, one that hangs, and an archive that was taken are
    noticed."""
    path, tally = tmp_path / "file.csv", Tally("a suite")
    path.write_bytes(b"0123456789")
    damage.damage_file(path, {"copy": path.read_bytes}, 20, tally)
    assert len(tally.lost) == tally.tried > 10 and path.read_bytes() == b"0123456789"
    assert "raises ValueError" in damage.judge({"int": lambda: int("x")}, {})
    assert hostile.refuse(lambda: None) == "it was taken"

    def hang():  # as readers are: whatever goes wrong becomes a UserError
        try:
            time.sleep(10)
        except Exception as error:
            raise UserError("It is damaged.") from error

    monkeypatch.setattr(damage, "SECONDS", 0.2)
    assert damage.judge({"hang": hang}, {}) == "hang hangs" and hostile.refuse(hang) == "it hangs"


def test_tracebacks_are_found_in_the_log():
    log = "Traceback ...\nAssertionError\nKeyError: None\n    raise ValueError\ngradio.exceptions.Error: 'no'\n"
    assert serving.UNEXPECTED.findall(log) == ["AssertionError", "KeyError: None", "gradio.exceptions.Error: 'no'"]


def test_a_smaller_run_leaves_the_page_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(full, "RESULTS", tmp_path / "output" / "faults.json")
    monkeypatch.setattr(full, "FIGURE", tmp_path / "output" / "long_run.png")
    monkeypatch.setattr(full, "PAGE", tmp_path / "reliability.md")
    monkeypatch.setattr(full, "run_all", lambda root, damages, requests, minutes: ([Tally("a suite", refused=1)], {}))
    (tmp_path / "reliability.md").write_bytes(PAGE.read_bytes())
    for arguments, written in ((["--minutes", "0"], False), (["--damages", "5"], False), ([], True)):
        monkeypatch.setattr("sys.argv", ["faults", *arguments])
        assert full.main() == 0
        assert full.RESULTS.exists() == written == ("Nothing is written" not in capsys.readouterr().out)
    assert "| a suite | 1 |" in full.PAGE.read_text() and not full.FIGURE.exists()


def test_the_page_shows_the_last_full_run():
    text = PAGE.read_text(encoding="utf-8")
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
        assert render_page(text, results) == text and not any(row["lost"] for row in results["suites"])
    else:
        assert "not yet" in text.partition("<!-- faults -->")[2]


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
    assert named and set(named) <= set((ROOT / "requirements.txt").read_text().splitlines())
