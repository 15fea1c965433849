"""Both notebooks run from top to bottom on the sample, on a copy of the project; the committed ones are whole.

The sample run of the main notebook is also where Grad-CAM is put to the test: does its peak lie on the object?
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cifar100.dataset.cifar import COARSE_OF_FINE
from cifar100.dataset.sample import make_sample
from cifar100.errors import UserError
from cifar100.evaluation.logits import predict_logits
from cifar100.explain.grad_cam import enlarge, grad_cam, stage_layers
from cifar100.network import load_network
from cifar100.notebook import execution
from cifar100.notebook.execution import execute_notebook
from cifar100.runs.run import load_metrics
from tests.conftest import ROOT

NOTEBOOKS = ("CIFAR100_ResNet.ipynb", "cifar100_eda.ipynb")


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(notebook: dict) -> str:
    texts = (out["text"] for cell in code_cells(notebook) for out in cell["outputs"] if out["output_type"] == "stream")
    return "".join("".join(text) for text in texts)


def check_whole(notebook: dict) -> None:
    """Executed once, from top to bottom, without an error, and fit for GitHub."""
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [out for cell in cells for out in cell["outputs"] if out["output_type"] == "error"]
    assert "widgets" not in notebook["metadata"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_committed_notebook_is_whole_and_its_figures_exist(name):
    path = ROOT / name
    notebook = load(path)
    check_whole(notebook)
    assert path.stat().st_size < 2_500_000
    shown = [out for cell in code_cells(notebook) for out in cell["outputs"] if "image/png" in out.get("data", {})]
    assert all(len(out["metadata"]["image/png"]["alt"]) > 15 for out in shown)  # for those who cannot see it
    assert all(len("".join(cell["source"]).splitlines()) <= 12 for cell in code_cells(notebook)[1:])
    assert "SAMPLE" not in printed(notebook)
    if name == "cifar100_eda.ipynb":
        folder = ROOT / "output/eda"
    else:
        folder = ROOT / re.search(r"The figures: (\S+)/", printed(notebook))[1]
    sources = "\n".join("".join(cell["source"]) for cell in code_cells(notebook))
    named = re.findall(r"(\d\d_\w+\.png)", sources)
    assert len(named) >= 9
    assert [name for name in named if not (folder / name).is_file()] == []
    pictures = [out for cell in code_cells(notebook) for out in cell["outputs"] if "image/png" in out.get("data", {})]
    assert len(pictures) == len(named)  # each is stored once


@pytest.fixture(scope="session")
def copy(tmp_path_factory) -> Path:
    """The project's files as git knows them, without what the real data has left."""
    folder = tmp_path_factory.mktemp("copy") / "project"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def run_on_sample(copy: Path, name: str) -> dict:
    command = [sys.executable, "-m", "cifar100", "notebook", name, "--data", "sample", "--to", "output/sample"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(f"The executed notebook: output/sample/{name}")
    return load(copy / "output/sample" / name)


@pytest.fixture(scope="session")
def sample_run(copy) -> dict:
    """The main notebook, executed as `make run` does it."""
    return run_on_sample(copy, NOTEBOOKS[0])


def test_the_main_notebook_runs_on_the_sample_and_leaves_the_project_as_it_was(copy, sample_run):
    check_whole(sample_run)
    outputs = [out for cell in code_cells(sample_run) for out in cell["outputs"]]
    assert not [out for out in outputs if out.get("name") == "stderr"]  # no warnings
    text = printed(sample_run)
    assert "Training smoke on" in text and "Epoch [6/6]" in text and "SAMPLE: 5,000 training" in text
    figures = copy / "output/sample/smoke"
    assert f"The figures: {figures.relative_to(copy)}/" in text
    sources = "".join("".join(cell["source"]) for cell in code_cells(sample_run))
    assert {path.name for path in figures.glob("[0-9][0-9]_*.png")} == set(re.findall(r"\d\d_\w+\.png", sources))
    assert load_metrics(figures / "seed0")["final"]["test_accuracy"] > 0.15
    for name in ("README.md", "training_logs.md", "CIFAR100_ResNet.ipynb"):
        assert (copy / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_eda_notebook_runs_on_the_sample(copy):
    notebook = run_on_sample(copy, NOTEBOOKS[1])
    check_whole(notebook)
    assert len(list((copy / "output/sample/eda").glob("*.png"))) >= 8


def test_grad_cam_peaks_on_the_object(copy, sample_run):
    """Of the correctly classified test images of the sample, whose objects' masks are known."""
    network = load_network(copy / "output/sample/smoke/seed0")
    sample = make_sample(COARSE_OF_FINE, "test")
    right = predict_logits(network, torch.tensor(sample.images)).argmax(1).numpy() == sample.fine
    images, masks = sample.images[right], sample.masks[right]
    maps = grad_cam(network, images, stage_layers(network)[0])
    hits = []
    for heatmap, mask in zip(maps, masks):
        peak = enlarge(heatmap[..., None], 32)[..., 0].argmax()
        hits.append(mask.ravel()[peak])
    hit, chance = np.mean(hits), masks.mean()
    print(f"Grad-CAM's peak lies on the object in {hit:.1%} of {len(hits)} images; chance is {chance:.1%}.")
    assert len(hits) >= 100 and hit >= 0.70 and hit >= 1.5 * chance


def write_notebook(path: Path, *sources: str) -> Path:
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "## A chapter"},
        *(
            {"cell_type": "code", "id": f"c{k}", "metadata": {}, "source": s, "outputs": [], "execution_count": None}
            for k, s in enumerate(sources)
        ),
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_a_failing_cell_is_named_and_nothing_is_written(tmp_path):
    path = write_notebook(tmp_path / "a.ipynb", "print('first')", "1 / 0")
    said = []
    with pytest.raises(UserError, match="a.ipynb stopped in the chapter 'A chapter'. ZeroDivisionError"):
        execute_notebook(path, tmp_path / "out.ipynb", say=said.append)
    assert "first" in "".join(said) and not (tmp_path / "out.ipynb").exists()


def test_a_message_for_the_user_is_the_last_thing_on_the_screen(tmp_path):
    missing = tmp_path / "no_data"
    path = write_notebook(tmp_path / "a.ipynb", "from utils import *", "load_split('train')")
    command = [sys.executable, "-m", "cifar100", "notebook", str(path), "--data", str(missing), "--to", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    (last,) = done.stderr.strip().splitlines()
    assert last.startswith("Error: a.ipynb stopped in the chapter") and "There is no data folder" in last
    for way in ("--data FOLDER", "by hand into ./data", "CIFAR100_DATA=sample"):
        assert way in last


def test_what_is_no_notebook_is_refused(tmp_path):
    (tmp_path / "a.ipynb").write_text("no JSON")
    for name in ("a.ipynb", "missing.ipynb"):
        with pytest.raises(UserError, match="name an .ipynb file"):
            execute_notebook(tmp_path / name, tmp_path / "out.ipynb")


def bootstrap(folder: Path, **changes: str) -> subprocess.CompletedProcess:
    """Run the main notebook's first cell in `folder`, and say where that led."""
    source = "".join(code_cells(load(ROOT / NOTEBOOKS[0]))[0]["source"])
    source = re.sub(r'REPOSITORY = ".*?"', 'REPOSITORY = ""', source)
    environment = {k: v for k, v in os.environ.items() if k != "JPY_SESSION_NAME"} | changes
    command = [sys.executable, "-c", source + "\nprint(Path.cwd())"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_started_elsewhere_the_notebook_finds_its_project(tmp_path):
    below = ROOT / "cifar100" / "figures"
    assert bootstrap(below).stdout.strip() == str(ROOT)
    assert bootstrap(tmp_path, JPY_SESSION_NAME=str(ROOT / NOTEBOOKS[0])).stdout.strip() == str(ROOT)


def test_alone_and_without_an_address_the_notebook_says_what_to_do(tmp_path):
    done = bootstrap(tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == "The project is not here: clone it and open the notebook in its folder."


@pytest.mark.parametrize(
    "content",
    ["{}", "[]", "3", "[" * 100_000, '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}', "\xff", ""],
    ids=lambda content: content[:20],
)
def test_what_is_no_notebook_is_refused_in_one_sentence(content, tmp_path):
    (tmp_path / "a.ipynb").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match="cannot be read as a notebook .*: name an .ipynb file") as raised:
        execute_notebook(tmp_path / "a.ipynb", tmp_path / "b.ipynb")
    assert len(str(raised.value)) < 500 and not (tmp_path / "b.ipynb").exists()


@pytest.mark.parametrize("target", ["file/a.ipynb", "folder", "pipe"])
def test_nothing_is_executed_where_nothing_can_be_written(target, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(execution.TalkingClient, "execute", lambda *given, **named: pytest.fail("it was executed"))
    with pytest.raises(UserError, match="name a file|name another place"):
        execute_notebook(ROOT / NOTEBOOKS[0], tmp_path / target)
    with pytest.raises(UserError, match="no regular file"):
        execute_notebook(tmp_path / "pipe", tmp_path / "b.ipynb")


def test_a_kernel_that_is_not_here_is_told(tmp_path):
    notebook = load(ROOT / NOTEBOOKS[1])
    notebook["metadata"]["kernelspec"] = {"name": "abacus", "display_name": "abacus"}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    with pytest.raises(UserError, match="asks for the kernel 'abacus', which is not installed"):
        execute_notebook(tmp_path / "a.ipynb", tmp_path / "b.ipynb")
