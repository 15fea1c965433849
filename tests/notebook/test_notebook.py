"""Both notebooks run from top to bottom on the sample, in a copy of the project; the committed ones are whole."""

import dis
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import albumentations
import numpy as np
import pytest

from cifar100.dataset.augment_image import make_albumentations
from cifar100.recipes import RECIPES
from tests.conftest import ROOT

MAIN, EDA = "CIFAR100_ResNet.ipynb", "cifar100_eda.ipynb"
SMALL = {  # what the copy has other than the project, so that it takes seconds
    "model.py": ("(9, 9, 9)", "(1, 1, 1)"),
    "cifar100/recipes.py": ("epochs=6,", "epochs=1,"),
    "cifar100/figures/style.py": ("DENSITY = 2", "DENSITY = 1"),
    "cifar100/dataset/sample.py": ('{"train": 50, "test": 10}', '{"train": 10, "test": 5}'),
}


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def list_code(notebook: dict) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def name_figures(notebook: dict) -> list[str]:
    return re.findall(r"(\d\d_\w+\.png)", "\n".join(list_code(notebook)))


def check_executed(notebook: dict) -> str:
    """Executed once, from top to bottom, without an error or a warning, fit for GitHub. Returns what it printed."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert "widgets" not in notebook["metadata"]
    images = [output["metadata"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(images) == len(name_figures(notebook))  # each is stored once
    assert all(len(image["alt"]) > 15 for image in images)  # for those who cannot see it
    return "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")


@pytest.mark.parametrize("name", [MAIN, EDA])
def test_the_committed_notebook_is_whole(name):
    printed = check_executed(load(ROOT / name))
    assert (ROOT / name).stat().st_size < 3_000_000 and "SAMPLE" not in printed
    folder = ROOT / re.search(r"The figures: (\S+)/", printed)[1]
    assert [figure for figure in name_figures(load(ROOT / name)) if not (folder / figure).is_file()] == []


@pytest.mark.parametrize("name", [MAIN, EDA])
def test_its_code_can_be_read_on_github(name):
    cells, sources = load(ROOT / name)["cells"], list_code(load(ROOT / name))
    assert len(cells) <= 70 and len(name_figures(load(ROOT / name))) <= 20
    assert sum(len(source.splitlines()) > 15 for source in sources) == 1  # the cell that finds the project
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    shown = [text for data in outputs for text in "".join(data.get("text/markdown", "")).split("```")[1::2]]
    assert [line for text in sources + shown for line in text.splitlines() if len(line) > 95] == []


def test_no_name_is_bound_in_two_cells():
    instructions = [list(dis.get_instructions(source)) for source in list_code(load(ROOT / MAIN))]
    bound = Counter(name for own in instructions for name in {i.argval for i in own if i.opname == "STORE_NAME"})
    assert [name for name, count in bound.items() if count > 1] == []


def test_the_pipeline_in_chapter_3_is_the_recipes():
    (source,) = [source for source in list_code(load(ROOT / MAIN)) if "A.Compose" in source]
    written = {"train": type("Train", (), {"images": np.zeros((1, 32, 32, 3), np.uint8)})}
    exec(source, written)
    for name in ("resnet56_multistep", "resnet56_200"):
        built = make_albumentations(RECIPES[name].augmentation)
        assert albumentations.to_dict(written["pipeline"]) == albumentations.to_dict(built)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The project's own files, made SMALL, and a folder in which a user stands."""
    folder = tmp_path_factory.mktemp("copy") / "project"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    if not listed:  # an unpacked zip
        files = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        listed = [name for name in files if name.parts[0] not in (".venv", "data")]
    for name in filter(lambda name: (ROOT / name).is_file(), listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for path, (old, new) in SMALL.items():
        text = (folder / path).read_text(encoding="utf-8")
        assert old in text
        (folder / path).write_text(text.replace(old, new), encoding="utf-8")
    (folder / "desk").mkdir()
    shutil.copy(ROOT / "assets/demo.png", folder / "desk/a photo.png")
    return folder


def run_papermill(copy: Path, name: str, **parameters: str) -> dict:
    command = [sys.executable, "-m", "papermill", f"../{name}", "out.ipynb", "--inject-input-path", "--no-progress-bar"]
    command += [part for item in parameters.items() for part in ("-p", *item)]
    done = subprocess.run(command, cwd=copy / "desk", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return load(copy / "desk/out.ipynb")


def test_the_main_notebook_runs_on_the_sample_where_the_user_stands(copy):
    before = {path: (copy / path).read_bytes() for path in ("README.md", "training_logs.md", MAIN)}
    notebook = run_papermill(copy, MAIN, DATA="sample", OUTPUT="runs", PICTURE=" 'a photo.png' ")
    printed, run = check_executed(notebook), copy / "desk/runs/sample/smoke/seed0"
    assert "SAMPLE" in printed and "Epoch [1/1]" in printed and str(run) in printed
    assert {path.name for path in run.parent.glob("[0-9][0-9]_*.png")} == set(name_figures(notebook))
    assert "a photo.png" in json.dumps(notebook["cells"])
    assert before == {path: (copy / path).read_bytes() for path in before}


def test_the_eda_notebook_runs_on_the_sample(copy):
    check_executed(run_papermill(copy, EDA, DATA="sample"))


def test_its_first_cells_may_run_twice(tmp_path):
    """In one process, as a second Run All does, after the working directory has moved."""
    (tmp_path / "mine.png").write_bytes(b"an image")
    cells = list_code(load(ROOT / MAIN))[:3]
    cells.insert(1, "DATA, OUTPUT, PICTURE = 'sample', ' \"my runs\" ', 'mine.png'")
    code = f"state = {{}}\nfor cell in 2 * {cells!r}:\n    exec(cell, state)\nprint(state['session'].output)"
    environment = os.environ | {"JPY_SESSION_NAME": str(ROOT / MAIN)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str(tmp_path / "my runs"), done.stderr
