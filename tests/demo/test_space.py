"""An exported Space stands alone, answers as the project does, and never takes the place of other files."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from gradio_client import handle_file
from huggingface_hub.utils import filter_repo_objects

from cifar100.__main__ import main
from cifar100.demo import space
from cifar100.demo.examples import load_drawings
from cifar100.errors import UserError
from cifar100.inference import load_predictor
from cifar100.report.run_pages import render_card
from cifar100.runs.find import RUN_FILES, find_run
from cifar100.runs.run import Run
from tests.conftest import ROOT
from tests.demo.pages import connect, start_page
from tests.inference.test_predictor import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("output"))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "space"
    space.export_space(run, folder)
    return folder


@pytest.fixture
def quick(monkeypatch):
    """Without the process that looks which modules the page loads."""
    monkeypatch.setattr(space, "probe", lambda run: {"model": str(ROOT / "model.py"), "torch": None})


def read_tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_front_matter_is_what_hugging_face_reads(exported):
    _, front, text = (exported / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    values = yaml.safe_load(front)
    assert set(values) == {"title", "emoji", "sdk", "sdk_version", "python_version", "app_file", "license"}
    assert (values["sdk"], values["license"]) == ("gradio", "mit")
    assert re.fullmatch(r"\d+\.\d+\.\d+", values["sdk_version"]) and re.fullmatch(r"3\.\d+", values["python_version"])
    assert (exported / values["app_file"]).is_file() and text.lstrip().startswith("# CIFAR-100 with smoke\n")


def test_it_holds_the_run_and_only_what_it_needs(exported, run):
    index, *lines = (exported / "requirements.txt").read_text().splitlines()
    assert index.endswith("https://download.pytorch.org/whl/cpu")
    assert all(re.fullmatch(r"[\w.-]+==\d[\w.]*", line) for line in lines)
    names = {line.partition("==")[0] for line in lines}
    assert {"gradio", "torch", "safetensors", "numpy", "pillow", "grad-cam"} <= names
    assert not names & {"torch-lr-finder", "torchsummary", "albumentations", "jupyter", "pytest", "papermill"}
    files = read_tree(exported)
    for name in RUN_FILES:
        assert files[f"output/smoke/seed0/{name}"] == (run / name).read_bytes()
    code = {name for name in files if name.endswith(".py")} - {"app.py"}
    assert all(files[name] == (ROOT / name).read_bytes() for name in (*code, "LICENSE"))
    assert {"model.py", "cifar100/demo/page.py", "cifar100/inference/safe_opening.py"} <= code
    folders = {name.split("/")[1] for name in code if name.startswith("cifar100/")}
    assert not folders & {"__main__.py", "commands", "figures", "notebook", "report"}
    assert "cifar100/demo/space.py" not in code and "MODEL_CARD.md" not in files  # the run has not been evaluated


def test_it_answers_as_the_project_does_and_without_it(exported, run, tmp_path):
    folder, image = tmp_path / "elsewhere", tmp_path / "image.png"
    shutil.copytree(exported, folder)
    load_drawings()["clock"].resize((300, 200)).save(image)
    with start_page([sys.executable, "app.py"], folder, tmp_path / "own", ALL_PROXY="socks5://127.0.0.1:9") as address:
        answer = connect(address).predict(handle_file(str(image)), "smoke", api_name="/predict")[0]
    rows = [(row["label"], row["confidence"]) for row in answer["confidences"]]
    expected = load_predictor(run, "cpu").predict(image)
    assert [label for label, _ in rows] == [own.class_name.replace("_", " ") for own in expected]
    # Its threads may be others than ours, which changes the last digit.
    assert [share for _, share in rows] == pytest.approx([own.probability for own in expected], rel=1e-5)


def test_a_page_that_does_not_answer_is_not_exported(run, tmp_path, monkeypatch):
    monkeypatch.setattr(space, "PROBE", "raise ImportError('No module named gradio')")
    with pytest.raises(UserError, match="does not answer with .* here .ImportError: No module named gradio"):
        space.export_space(run, tmp_path / "space")
    assert os.listdir(tmp_path) == []


def test_an_evaluated_run_brings_its_card(quick):
    run = find_run(ROOT / "output/sprint")
    contents = space.make_contents(run)
    assert contents["MODEL_CARD.md"].decode() == render_card(Run.load(run))
    assert b"(MODEL_CARD.md)" in contents["README.md"]


def test_an_earlier_export_is_replaced_after_it_was_started_and_looked_at(quick, run, tmp_path):
    folder = tmp_path / "space"
    folder.mkdir()
    (folder / ".DS_Store").write_bytes(b"")  # a folder that a Mac calls empty will do
    paths = space.export_space(run, folder)
    first = read_tree(folder)
    assert sorted(paths) == sorted(path for path in folder.rglob("*") if path.is_file())
    for name in ("__pycache__/app.pyc", "cifar100/old.py", ".DS_Store", "cifar100/demo/drawings/.DS_Store"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    sent = filter_repo_objects(read_tree(folder), ignore_patterns=space.NOT_SENT)
    assert set(sent) == {*first, "cifar100/old.py"}
    space.export_space(run, folder)
    assert read_tree(folder) == first and os.listdir(tmp_path) == ["space"]


@pytest.mark.parametrize("name", ["notes.txt", ".git"])
def test_a_folder_with_other_files_is_refused(quick, run, tmp_path, name):
    folder = tmp_path / "space"
    for prepare in (folder.mkdir, lambda: space.export_space(run, folder)):
        shutil.rmtree(folder, ignore_errors=True)
        prepare()
        (folder / name).write_text("mine")
        before = read_tree(folder)
        with pytest.raises(UserError, match="holds other files than an earlier export"):
            space.export_space(run, folder)
        assert read_tree(folder) == before
    with pytest.raises(UserError, match="is a file"):
        space.export_space(run, folder / name)


def test_a_run_that_is_not_whole_is_refused(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    folder, weights = tmp_path / "space", tmp_path / "run/weights.safetensors"
    for change, message in (
        (lambda: weights.write_bytes(weights.read_bytes()[:1000]), "is damaged"),
        ((tmp_path / "run/history.csv").unlink, "lacks history.csv"),
        (weights.unlink, "has no weights.safetensors"),
    ):
        change()
        assert main(["export-space", str(tmp_path / "run"), str(folder)]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
        assert os.listdir(tmp_path) == ["run"]


# Pushes to whatever Hub HF_ENDPOINT names, by each of the ways to fail, and prints what is said.
PUSH = """
import json, os, sys, huggingface_hub
from pathlib import Path
from cifar100.demo.space import push_space
from cifar100.errors import UserError
said = {}
proxies = {"dead proxy": {"http_proxy": "http://127.0.0.1:9"}, "proxy of another kind": {"ALL_PROXY": "socks5://127.0.0.1:9"}}
for kind in ("no network", "illegal header", *proxies):
    os.environ.update(proxies.get(kind, {}))
    huggingface_hub.close_session()
    try:
        push_space(Path(sys.argv[1]), "me/images", "hf_mine\\n" if kind == "illegal header" else "hf_mine")
    except UserError as error:
        said[kind] = str(error)
print(json.dumps(said))
"""


def test_a_push_that_fails_is_one_sentence_that_says_what_was_tried_and_where(exported):
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PUSH, str(exported)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert len(said) == 4
    for sentence in said.values():
        assert re.match(r"The upload of .* to the Space me/images at http://127.0.0.1:9 failed \(.+\): check", sentence)
        assert "\n" not in sentence and "hf_mine" not in sentence


def test_a_push_without_a_token_or_a_name_writes_nothing(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    for name, words in (
        ("me/images", "run `hf auth login`, or set HF_TOKEN"),
        ("images", "give USER/NAME"),
        ("a b/c", "give"),
    ):
        assert main(["export-space", str(run), str(tmp_path / "space"), "--push", name]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and words in captured.err and os.listdir(tmp_path) == []
