"""A submission has only your own runs, and the checklist says what is missing."""

import json
import zipfile
from dataclasses import replace

import pytest

from cifar100.errors import UserError
from cifar100.recipes import SPRINT
from cifar100.report import published
from cifar100.report.hand_in import load_details, pack, render_list, save_details
from cifar100.report.pages import choose_shown, insert_address, render_notebook, write_all
from cifar100.runs.history import format_record
from cifar100.runs.run import Run
from tests.report.test_pages import make_run

CELL = {"cell_type": "code", "execution_count": 1, "source": ['REPOSITORY = ""  # @param\n', "print(1)"], "outputs": []}
TITLE = {"cell_type": "markdown", "source": ["# Title\n", "<!-- badge -->\n", "<!-- end of badge -->"]}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A fork with a run of the project (seed 0), one of its owner (seed 1), and a notebook."""
    blocks = "".join(
        f"<!-- {name} -->\n<!-- end of {name} -->\n" for name in ("headline", "figures", "results", "hand in")
    )
    (tmp_path / "README.md").write_text("<!-- badge -->\n<!-- end of badge -->\n" + blocks)
    (tmp_path / "CIFAR100_ResNet.ipynb").write_text(json.dumps({"cells": [TITLE, CELL], "nbformat": 4}))
    shipped = Run.load(make_run(tmp_path / "output", SPRINT, [0.74]))
    make_run(tmp_path / "output", replace(SPRINT, seed=1), [0.76])
    monkeypatch.setattr(published, "LIST", tmp_path / "published.json")
    published.LIST.write_text(json.dumps({"sprint/seed0": shipped.metrics["sha256"]["weights"]}))
    return tmp_path


def test_before_anything_is_handed_in_all_runs_are_shown_and_nothing_is_ticked(root):
    write_all(root)
    log, readme = ((root / name).read_text() for name in ("training_logs.md", "README.md"))
    assert log.count("\n## sprint, seed") == 2 and "Submission" not in log
    assert readme.count("- [ ] ") == 8 and "- [x]" not in readme


def test_own_runs_alone_are_handed_in_with_what_is_still_missing(root):
    save_details(root, run="sprint/seed1", name="Ada", date="2026-11-28", space="ada/cifar", course="  ")
    write_all(root)
    log, readme = ((root / name).read_text() for name in ("training_logs.md", "README.md"))
    assert log.count("\n## sprint, seed") == 1 and "\n## sprint, seed 1\n" in log and "**76.00%**" in readme
    head = log.partition("<!-- run")[0]
    for line in ("- Name: Ada", "- Date: 2026-11-28", "- Hugging Face Space: https://huggingface.co/spaces/ada/cifar"):
        assert line in head
    assert "Course" not in head and "- Result: 76.00% top-1" in head and "1 of 1 reach the 73%" in head
    assert render_list(root) in head and render_list(root) in readme
    ticked = [line[3] == "x" for line in render_list(root).splitlines()]
    assert ticked == [True, True, False, True, False, True, False, False]  # notebook, repository, assistants, course
    last = format_record(Run.load(root / "output/sprint/seed1").history[-1], SPRINT.epochs)
    CELL["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [last]}]
    (root / "CIFAR100_ResNet.ipynb").write_text(json.dumps({"cells": [TITLE, CELL], "nbformat": 4}))
    assert [line[3] for line in render_list(root).splitlines()][2] == "x"
    for name in (".seed1.lock", "corruptions_seed0.csv", "corruptions_seed1.csv"):
        (root / "output/sprint" / name).touch()
    names = pack(root, root / "all.zip", {"app.py": b""})
    with zipfile.ZipFile(root / "all.zip") as archive:
        assert archive.namelist() == names and render_list(root) in archive.read("HAND_IN.md").decode()
    own = {f"output/sprint/{name}" for name in ("seed1/history.csv", "curves.png", "corruptions_seed1.csv")}
    assert {"space/app.py", "README.md"} | own < set(names)
    assert not any("seed0" in name or ".lock" in name for name in names)


def test_card_and_curves_are_of_ones_own_run_unless_a_published_one_is_handed_in(root):
    runs = published.load_published(root / "output")
    assert [run.recipe.seed for run in choose_shown(runs, None)] == [1]
    assert [run.recipe.seed for run in choose_shown(runs, runs[0])] == [0]


def test_a_run_that_is_gone_is_named(root):
    save_details(root, run="sprint/seed7")
    with pytest.raises(UserError, match="names output/sprint/seed7, which is gone"):
        write_all(root)


def test_a_run_of_the_project_is_not_ones_own(root):
    save_details(root, run="sprint/seed0")
    assert render_list(root).startswith("- [ ] a network that you have trained yourself")


@pytest.mark.parametrize("form", ["ada/cifar", "https://github.com/ada/cifar.git"])
def test_an_address_on_github_becomes_badge_and_bootstrap(root, form):
    save_details(root, repository=form)
    save_details(root, repository="")  # which changes nothing
    address = load_details(root)["repository"]
    assert address == "https://github.com/ada/cifar"
    path = root / "CIFAR100_ResNet.ipynb"
    assert path not in write_all(root, notebooks=False)  # as in a notebook, which is open
    text = render_notebook(path, address)
    assert path in write_all(root) and path.read_text() == text
    title, cell = ("".join(cell["source"]) for cell in json.loads(text)["cells"])
    assert "(https://colab.research.google.com/github/ada/cifar/blob/main/CIFAR100_ResNet.ipynb)" in title
    assert cell.startswith('REPOSITORY = "https://github.com/ada/cifar"  # @param\n')
    assert "colab" not in insert_address("".join(TITLE["source"]), "https://example.org/ada/cifar.git", "a.ipynb")


@pytest.mark.parametrize("wrong", [{"repository": "cifar"}, {"repository": 'https://x"; rm'}, {"space": "ada"}])
def test_what_is_no_address_is_refused_and_nothing_written(root, wrong):
    with pytest.raises(UserError, match="/NAME"):
        save_details(root, **wrong)
    assert not (root / "submission.json").exists()
