"""An exported Space stands alone, answers as the project does, and never takes the place of other files."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from gradio_client import handle_file

from cifar100.__main__ import main
from cifar100.demo import space
from cifar100.demo.examples import load_drawings
from cifar100.errors import UserError
from cifar100.inference import load_predictor
from cifar100.report.model_card import render_card
from cifar100.runs.find import RUN_FILES, find_run
from cifar100.runs.run import Run
from tests.conftest import ROOT
from tests.demo.test_page import make_client
from tests.inference.test_predictor import make_run

# Serves the page of the folder it stands in, until its input ends. Then: whom it has called.
SERVE = """
import json, sys
called = set()
def note(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect" and isinstance(arguments[1], tuple):
        called.add(str(arguments[0] if event == "socket.getaddrinfo" else arguments[1][0]))
sys.addaudithook(note)
import app
app.demo.launch(**app.LAUNCH, prevent_thread_lock=True)
files = [m.__file__ for name, m in sys.modules.items() if name.partition(".")[0] in ("app", "model", "cifar100")]
print(json.dumps([app.demo.local_url, files]), flush=True)
sys.stdin.read()
print(json.dumps(sorted(called)), flush=True)
"""


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
    assert all(isinstance(value, str) and value for value in values.values())
    assert (values["sdk"], values["license"]) == ("gradio", "mit")
    assert re.fullmatch(r"\d+\.\d+\.\d+", values["sdk_version"]) and re.fullmatch(r"3\.\d+", values["python_version"])
    assert (exported / values["app_file"]).is_file()
    assert text.lstrip().startswith("# CIFAR-100 with smoke\n")


def test_the_requirements_are_pinned_and_for_the_cpu(exported, monkeypatch):
    index, *lines = (exported / "requirements.txt").read_text().splitlines()
    assert index.endswith("https://download.pytorch.org/whl/cpu")
    assert all(re.fullmatch(r"[\w.-]+==\d[\w.]*", line) for line in lines)
    names = {line.partition("==")[0] for line in lines}
    assert {"gradio", "torch", "safetensors", "numpy", "pillow", "grad-cam", "matplotlib"} <= names
    assert not names & {"torch-lr-finder", "torchsummary", "albumentations", "jupyter", "pytest"}
    monkeypatch.setattr(space, "version", lambda name: "2.15.0+cu132")
    assert space.pin(["torch"]) == ["torch==2.15.0"]


def test_it_holds_the_run_and_only_the_code_that_it_needs(exported, run):
    files = read_tree(exported)
    for name in RUN_FILES:
        assert files[f"output/smoke/seed0/{name}"] == (run / name).read_bytes()
    code = {name for name in files if name.endswith(".py")} - {"app.py"}
    assert all(files[name] == (ROOT / name).read_bytes() for name in (*code, "LICENSE"))
    assert {"model.py", "cifar100/__init__.py", "cifar100/demo/page.py", "cifar100/explain/grad_cam.py"} <= code
    folders = {name.split("/")[1] for name in code if name.startswith("cifar100/")}
    assert not folders & {"__main__.py", "commands", "training", "figures", "notebook", "eda"}
    assert not code & {"cifar100/dataset/sample.py", "cifar100/demo/space.py"}
    assert "MODEL_CARD.md" not in files  # the run has not been evaluated
    assert not [name for name in files if "__pycache__" in name or name.endswith(".pyi")]


def test_it_answers_over_http_as_the_project_does_and_without_it(exported, run, tmp_path):
    folder, picture = tmp_path / "elsewhere", tmp_path / "picture.png"
    shutil.copytree(exported, folder)
    load_drawings()["clock"].resize((300, 200)).save(picture)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRADIO_"))}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=folder,
        env=environment | {"GRADIO_TEMP_DIR": str(tmp_path / "uploads")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address, files = json.loads(process.stdout.readline())
        assert all(Path(file).is_relative_to(folder) for file in files) and len(files) > 10
        client = make_client(SimpleNamespace(local_url=address))
        answer = client.predict(handle_file(str(picture)), "smoke", api_name="/predict")[0]
        rows = [(row["label"], row["confidence"]) for row in answer["confidences"]]
        expected = load_predictor(run, "cpu").predict(picture)
        assert [label for label, _ in rows] == [answer.class_name.replace("_", " ") for answer in expected]
        # Its threads may be others than ours, which changes the last digit.
        assert [share for _, share in rows] == pytest.approx([answer.probability for answer in expected], rel=1e-5)
        called, _ = process.communicate("", timeout=20)
        assert set(json.loads(called)) <= {"127.0.0.1", "localhost", "0.0.0.0"}
    finally:
        process.kill()
        process.wait()


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


def test_a_hold_out_runs_card_says_what_it_was_trained_on(quick, tmp_path):
    folder = tmp_path / "seed0"
    shutil.copytree(find_run(ROOT / "output/sprint"), folder)
    for name in ("history.csv", "metrics.json"):  # the same figures, as of images that were held out
        text = (folder / name).read_text()
        for figure in ("loss", "accuracy"):
            text = text.replace(f"test_{figure}", f"validation_{figure}")
        (folder / name).write_text(text)
    metrics = json.loads(text)
    metrics["evaluation"] |= {"images": 5000, "without_duplicates": None}
    metrics["sha256"]["history"] = hashlib.sha256((folder / "history.csv").read_bytes()).hexdigest()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert b"45,000 of the 50,000 training images" in space.make_contents(folder)["MODEL_CARD.md"]


def test_an_earlier_export_is_replaced_even_after_it_was_started(quick, run, tmp_path):
    folder = tmp_path / "space"
    folder.mkdir()  # an empty folder will do
    paths = space.export_space(run, folder)
    first = read_tree(folder)
    assert sorted(paths) == sorted(path for path in folder.rglob("*") if path.is_file())
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/app.pyc").write_bytes(b"")
    (folder / "cifar100").mkdir(exist_ok=True)
    (folder / "cifar100/old.py").write_text("")
    space.export_space(run, folder)
    assert read_tree(folder) == first and os.listdir(tmp_path) == ["space"]


@pytest.mark.parametrize("broken", ["write_bytes", "rename"])
def test_a_full_disk_leaves_the_earlier_export(quick, run, tmp_path, monkeypatch, broken):
    folder = tmp_path / "space"
    space.export_space(run, folder)
    first, original = read_tree(folder), getattr(Path, broken)

    def fail(path, *arguments):
        if path.name in ("metrics.json", ".space.growing"):
            raise OSError(28, "No space left on device")
        return original(path, *arguments)

    monkeypatch.setattr(Path, broken, fail)
    with pytest.raises(UserError, match="cannot be written .No space left"):
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
    (folder / name).unlink()
    (folder / "README.md").write_text("# Another project")
    with pytest.raises(UserError, match="holds other files"):
        space.export_space(run, folder)


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


class Hub:
    """Stands in for huggingface_hub.HfApi and keeps what it is asked for."""

    asked: list = []

    def __init__(self, token):
        self.token = token

    def create_repo(self, name, **options):
        self.asked.append(("create_repo", name, self.token, options))

    def upload_folder(self, **options):
        self.asked.append(("upload_folder", options["repo_id"], self.token, options))


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(Hub, "asked", [])
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    return Hub


def test_push_says_first_what_it_does(quick, hub, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_mine")
    said = []
    monkeypatch.setattr(space, "export_space", lambda *given: said.append(capsys.readouterr().out) or [])
    assert main(["export-space", str(run), str(tmp_path / "space"), "--push", "me/pictures"]) == 0
    assert "with your own Hugging Face token" in said[0] and f"{space.HUB}/me/pictures, as a public Space" in said[0]
    (_, name, token, created), (_, name_again, token_again, sent) = hub.asked
    assert (name, token) == (name_again, token_again) == ("me/pictures", "hf_mine")
    assert created == {"repo_type": "space", "space_sdk": "gradio", "exist_ok": True}
    assert sent["repo_type"] == "space" and sent["folder_path"] == tmp_path / "space"
    out = capsys.readouterr().out
    assert out.endswith(f"The Space is at {space.HUB}/me/pictures\n") and "hf_mine" not in said[0] + out


def test_push_without_a_token_asks_nobody_and_writes_nothing(hub, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert main(["export-space", str(run), str(tmp_path / "space"), "--push", "me/pictures"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "Error: There is no Hugging Face token here: run `hf auth login`, or set HF_TOKEN.\n"
    assert "upload these files to" in captured.out
    assert hub.asked == [] and os.listdir(tmp_path) == []


def test_a_refusal_of_the_hub_is_one_sentence(hub, exported, monkeypatch):
    def refuse(self, name, **options):
        raise OSError("403 Forbidden: you have no right to write.\nRequest id 1")

    monkeypatch.setattr(Hub, "create_repo", refuse)
    with pytest.raises(
        UserError, match=r"could not be written \(403 Forbidden: you have no right to write\)"
    ) as refusal:
        space.push_space(exported, "me/pictures", "hf_mine")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "name", ["pictures", "me/pictures/", "me/", "https://huggingface.co/spaces/me/pictures", "a b/c"]
)
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(UserError, match="give USER/NAME"):
        space.describe_push(name)
