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
from cifar100.demo.answers import load_drawings
from cifar100.errors import UserError
from cifar100.inference import load_predictor
from cifar100.report.run_pages import render_card
from cifar100.runs.find import RUN_FILES, find_run
from cifar100.runs.run import Run
from tests.conftest import ROOT, make_run
from tests.demo.pages import connect, start_page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("output"))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "space"
    space.export_space(run, folder)
    return folder


def read_tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_says_what_hugging_face_reads_and_holds_the_run(exported, run):
    _, front, text = (exported / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    values = yaml.safe_load(front)
    assert (values["sdk"], values["license"], values["datasets"]) == ("gradio", "mit", ["uoft-cs/cifar100"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", values["sdk_version"]) and re.fullmatch(r"3\.\d+", values["python_version"])
    assert (exported / values["app_file"]).is_file() and text.lstrip().startswith("# CIFAR-100 with smoke\n")
    index, *lines = (exported / "requirements.txt").read_text().splitlines()
    assert index.endswith("https://download.pytorch.org/whl/cpu")
    assert all(re.fullmatch(r"[\w.-]+==\d[\w.]*", line) for line in lines)
    files = read_tree(exported)
    for name in RUN_FILES:
        assert files[f"output/smoke/seed0/{name}"] == (run / name).read_bytes()
    assert "MODEL_CARD.md" not in files  # the run has not been evaluated


# Lets nothing be imported that the Space does not require.
ALONE = """
import runpy, sys
unneeded = ("albumentations", "torch_lr_finder", "torchsummary", "seaborn", "papermill", "jupyter")
sys.modules |= dict.fromkeys(unneeded)
runpy.run_path("app.py", run_name="__main__")
"""


def test_it_answers_as_the_project_does_and_without_it(exported, run, tmp_path):
    folder, image = tmp_path / "elsewhere", tmp_path / "image.png"
    shutil.copytree(exported, folder)
    load_drawings()["clock"].resize((300, 200)).save(image)
    command, proxy = [sys.executable, "-c", ALONE], "socks5://127.0.0.1:9"
    with start_page(command, folder, tmp_path / "own", ALL_PROXY=proxy) as address:
        answer = connect(address).predict(handle_file(str(image)), "smoke", api_name="/predict")[0]
    rows = [(row["label"], row["confidence"]) for row in answer["confidences"]]
    expected = load_predictor(run, "cpu").predict(image)
    assert [label for label, _ in rows] == [own.class_name.replace("_", " ") for own in expected]
    # Its threads may be others than ours, which changes the last digit.
    assert [share for _, share in rows] == pytest.approx([own.probability for own in expected], rel=1e-5)


def test_a_run_on_the_sample_is_not_published_as_one_on_cifar_100(run, tmp_path):
    folder = tmp_path / "smoke" / "seed0"
    shutil.copytree(run, folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(metrics | {"data": "sample"}))
    _, front, text = space.make_contents(folder)["README.md"].decode().split("---\n", 2)
    assert "datasets" not in yaml.safe_load(front) and "random weights on the synthetic sample. It" in text


def test_an_evaluated_run_brings_its_card():
    run = find_run(ROOT / "output/sprint")
    contents = space.make_contents(run)
    assert contents["MODEL_CARD.md"].decode() == render_card(Run.load(run), hub=True)
    assert b"(MODEL_CARD.md)" in contents["README.md"]


def test_an_earlier_export_is_replaced_after_it_was_started_and_looked_at(run, tmp_path):
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


def test_a_folder_with_other_files_is_refused(run, tmp_path):
    folder, name = tmp_path / "space", ".git"
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
        (lambda: weights.write_bytes(weights.read_bytes()[:1000]), "weights.safetensors"),
        ((tmp_path / "run/history.csv").unlink, "history.csv"),
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
said = []
for token, proxy in (("hf_mine", {}), ("hf_mine\\n", {}), ("hf_mine", {"ALL_PROXY": "socks5://127.0.0.1:9"})):
    os.environ.update(proxy)
    huggingface_hub.close_session()
    try:
        push_space(Path(sys.argv[1]), "me/images", token)
    except UserError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_a_push_that_fails_is_one_sentence_that_says_what_was_tried_and_where(exported):
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PUSH, str(exported)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert len(said) == 3
    for sentence in said:
        assert re.match(r"The upload of .* to the Space me/images at http://127.0.0.1:9 failed \(.+\): check", sentence)
        assert "\n" not in sentence and "hf_mine" not in sentence


def test_a_push_without_a_token_or_a_name_writes_nothing(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    for name, words in (("me/images", "run `hf auth login`, or set HF_TOKEN"), ("a b/c", "use USER/NAME")):
        assert main(["export-space", str(run), str(tmp_path / "space"), "--push", name]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and words in captured.err and os.listdir(tmp_path) == []
