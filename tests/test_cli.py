import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from cifar100.__main__ import main, make_parser
from cifar100.commands import NAMES
from cifar100.commands.train import choose_recipes
from cifar100.evaluation.corruptions import corruptions_of, table_file
from cifar100.lr_finder import load_curve, suggest_lr
from cifar100.recipes import RECIPES, SPRINT
from tests.conftest import ROOT, tiny_split
from tests.report.test_pages import make_run


def refused(capsys, *arguments):
    """Run a command that has to end with 2 and one sentence; returns it."""
    assert main([str(a) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ") and captured.err.count("\n") == 1
    return captured.err


def test_recipes_waits_for_no_large_package():
    slow = {"torch", "matplotlib", "scipy", "sklearn", "pandas", "gradio", "albumentations", "cv2"}
    check = f"import sys; from cifar100.__main__ import main; main(['recipes']); assert not {slow} & set(sys.modules)"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert all(name in run.stdout for name in RECIPES)


def test_every_file_is_a_command():
    files = {path.stem.replace("_", "-") for path in (ROOT / "cifar100/commands").glob("[a-z]*.py")}
    assert files == {*NAMES, "options"}


@pytest.mark.parametrize("command", NAMES)
def test_help_has_an_example_that_parses(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    example = capsys.readouterr().out.split("Example: ")[1].split("python -m cifar100 ")[1].split()
    assert make_parser().parse_args(example).command == command


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "sprnt"], "Did you mean sprint?"),
        (["train", "smoke", "--epochs", "0"], "epochs must be more than 0"),
        (["train", "smoke", "--lr", "-0.1"], "lr must be more than 0"),
        (["train", "smoke", "--lr", "nan"], "lr must be a finite number"),
        (["train", "smoke", "--batch-size", "0"], "batch_size must be a whole number above 0"),
        (["train", "smoke", "--epochs", "1e308"], "epochs must be more than 0 and at most 1,000,000"),
        (["train", "smoke", "--lr", "1e308"], "lr must be more than 0 and at most"),
        (["train", "smoke", "--weight-decay", "1e300"], "weight_decay must be 0 or more, and at most"),
        (["export-onnx", str(ROOT / "output/sprint"), "--to", ""], "is a folder: name a file"),
        (["export-onnx", str(ROOT / "output/sprint"), "--to", "/dev/full"], "is a device or a pipe"),
        (
            ["export-onnx", str(ROOT / "output/sprint"), "--to", "/dev/stdout/x"],
            "cannot be written: name another place",
        ),
        (["predict", str(ROOT / "output/sprint"), "a\n\x1b[31m.png"], r"There is no file a\n\x1b[31m.png"),
        (["predict", "model.pth", "a.png"], "is a pickle, which is not opened"),
        (["train", "smoke", "--data", "nowhere"], "There is no data folder nowhere"),
        (["train", "smoke", "--data", "."], "holds no CIFAR-100"),
        (["train", "smoke", "--device", "abacus"], "There is no device 'abacus'"),
        (["train", "smoke", "--device", "meta"], "There is no device 'meta'"),
        (["train", "smoke", "--minutes", "0"], "minutes must be a finite number above 0"),
        (["train", "smoke", "--minutes", "nan"], "minutes must be a finite number above 0"),
        (["bench", "smoek"], "Did you mean smoke?"),
        (["find-lr", "resnet65_multistep"], "Did you mean resnet56_multistep?"),
        (["find-lr", "sprint", "--data", "sample"], "The range test is for recipes with one optimizer"),
        (["find-lr", "smoke", "--data", "sample", "--steps", "3"], "steps must be a whole number of 10 or more"),
        (["notebook", "missing.ipynb"], "name an .ipynb file"),
        (["predict", "nowhere", "a.png"], "nowhere"),
        (["export-space", "nowhere", "space"], "holds no finished run"),
        (["export-space", "nowhere", "space", "--push", "space"], "names no Space"),
        (["corruptions", "nowhere"], "holds no finished run"),
        (["corruptions", str(ROOT / "output/sprint"), "--data", "sample"], "was trained on CIFAR-100"),
        (["corruptions", str(ROOT / "output/sprint"), "--images", "0"], "must be 1 or more"),
        (["report", "--repository", "cifar"], "give OWNER/NAME"),
        (["evaluate", "nowhere"], "holds no finished run"),
        (["report", "--run", "nowhere"], "holds no finished run"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_one(capsys, tmp_path, tiny):
    assert "say --device cpu" in refused(capsys, "train", "smoke", "--device", "cuda", "--output", tmp_path)


def test_more_workers_than_none_or_less(capsys, tmp_path, tiny):
    for number in ("-1", "100000"):
        assert "0 or more, and at most" in refused(
            capsys, "train", "smoke", "--num-workers", number, "--output", tmp_path
        )


def test_output_that_cannot_be_written(capsys, tmp_path, tiny):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(capsys, "train", "smoke", "--output", tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_read_only_output(tmp_path):
    """As a user other than root, whom no permission stops."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR)
    command = [
        sys.executable,
        str(ROOT / "tests/conftest.py"),
        "train",
        "smoke",
        "--output",
        str(closed),
        "--data",
        "elsewhere",
    ]
    if os.getuid() == 0:
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2 and "cannot be written" in run.stderr and "Traceback" not in run.stderr


def test_find_lr_leaves_curve_and_picture(tiny, capsys, tmp_path):
    arguments = ["find-lr", "smoke", "--steps", "10", "--data", "elsewhere", "--output", str(tmp_path)]
    assert main([*arguments, "--device", "cpu"]) == 0
    assert "The recipe uses 0.05." in capsys.readouterr().out
    assert len(load_curve(tmp_path / "smoke/lr_curve.csv").rates) == 10
    assert Image.open(tmp_path / "smoke/lr_curve.png").size == (900, 380)


def test_find_lr_where_its_picture_cannot_be_written(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    found = suggest_lr([0.1, 0.2], [1.0, 2.0]), tmp_path / "file/smoke/lr_curve.csv"
    monkeypatch.setattr("cifar100.training.lr_finder.find_recipe_lr", lambda *given: found)
    assert "lr_curve.png could not be written" in refused(capsys, "find-lr", "smoke")


def test_corruptions_are_measured_once_for_these_weights(tiny, capsys, tmp_path):
    where, options = str(tmp_path / "smoke"), ["--data", "elsewhere", "--device", "cpu"]
    assert main(["train", "smoke", "--epochs", "1", "--output", str(tmp_path), *options]) == 0
    assert main(["corruptions", where, "--images", "20", *options]) == 0
    assert "on 20 images without corruption" in capsys.readouterr().out
    said, folder = [], tmp_path / "smoke/seed0"
    table = corruptions_of(folder, 30, said.append)
    assert table.images == 20 and said[0].startswith("Loaded")
    table_file(folder).write_text(table_file(folder).read_text().replace(table.weights, "of other weights"))
    assert corruptions_of(folder, 30, said.append).images == 30 and said[1].startswith("Measuring")


def test_train_evaluate_and_report_from_the_command_line(tiny, capsys, tmp_path, monkeypatch):
    arguments = ["train", "smoke", "--epochs", "1", "--data", "elsewhere", "--output", str(tmp_path), "--device", "cpu"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "\nEpoch [1/1] - Train Loss: " in out and "Finished: " in out
    folder = tmp_path / "smoke"
    before = {p: p.read_bytes() for p in folder.rglob("*.*") if p.is_file()}
    assert main(["evaluate", str(folder), "--data", "elsewhere", "--device", "cpu", "--batch-size", "33"]) == 0
    computed, recorded = re.findall(r"[\d.]+%, loss [\d.]+", capsys.readouterr().out)
    assert computed == recorded
    assert "trained on CIFAR-100" in refused(capsys, "evaluate", folder, "--data", "sample")
    assert main(["report", "--run", str(folder)]) == 0
    assert "Epoch [1/1] - Train Loss: " in capsys.readouterr().out
    assert main([*arguments, "--epochs", "2"]) == 0
    assert "finished run with other settings" in capsys.readouterr().out
    assert main(["evaluate", str(folder / "seed0"), "--data", "elsewhere", "--batch-size", "0"]) == 2
    assert {p for p in folder.rglob("*.*") if p.is_file()} == set(before)


def test_bench_as_a_table_and_as_json(capsys, monkeypatch):
    from cifar100.training import speed as parts

    monkeypatch.setattr(parts, "load_split", lambda split, folder: tiny_split(split))
    for name in ("smoke", "resnet56_multistep"):
        monkeypatch.setitem(RECIPES, name, replace(RECIPES[name], network="resnet20", batch_size=16))
    measure = parts.run_bench
    monkeypatch.setattr(parts, "run_bench", lambda *arguments: measure(*arguments, seconds=0.1))
    assert main(["bench", "smoke", "--device", "cpu"]) == 0
    table = capsys.readouterr().out
    assert all(part in table for part in ("pipeline", "training step", "evaluation", "an epoch"))
    arguments = ["bench", "resnet56_multistep", "--device", "cpu", "--precision", "float32", "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    per_image = 1 / result["pipeline"] + 1 / result["training_step"]
    assert result["epoch_seconds"] == pytest.approx(50_000 * per_image + 10_000 / result["evaluation"])
    assert result["precision"] == "float32" and result["num_workers"] == 0


def test_a_run_with_other_settings_has_no_place_in_the_recipes_mean(tmp_path, capsys):
    make_run(tmp_path, SPRINT, [0.74])
    make_run(tmp_path, replace(SPRINT, seed=1, lr=1.0), [0.1])
    assert main(["recipes", "--output", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sprint ")]
    assert line.endswith("  74.00%")


def test_a_recipes_own_seed_counts_unless_another_is_named(monkeypatch):
    monkeypatch.setitem(RECIPES, "smoke", replace(RECIPES["smoke"], seed=7))

    def seeds(*arguments):
        return [recipe.seed for recipe in choose_recipes(make_parser().parse_args(["train", "smoke", *arguments]))]

    assert seeds() == [7] and seeds("--seed", "0") == [0] and seeds("--seeds", "3", "1", "3") == [3, 1]


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"recipe": "smoke"}'])
def test_damaged_metrics(text, capsys, tmp_path):
    (tmp_path / "smoke/seed0").mkdir(parents=True)
    (tmp_path / "smoke/seed0/metrics.json").write_text(text)
    (tmp_path / "smoke/seed0/weights.safetensors").write_bytes(b"")
    for arguments in (["recipes", "--output", tmp_path], ["evaluate", tmp_path / "smoke"]):
        assert "metrics.json" in refused(capsys, *arguments)


def test_a_pipe_that_closes_is_no_error():
    run = subprocess.run(
        f"{sys.executable} -m cifar100 recipes | head -n 0", shell=True, capture_output=True, text=True
    )
    assert run.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    ("arguments", "unbuffered"), [("recipes", "1"), ("recipes", ""), ("--help", ""), ("train --help", "")]
)
def test_output_to_a_full_device_is_one_sentence(arguments, unbuffered):
    command, variables = f"{sys.executable} -m cifar100 {arguments} > /dev/full", {"PYTHONUNBUFFERED": unbuffered}
    run = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, env=os.environ | variables)
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "output cannot be written" in run.stderr


@pytest.mark.parametrize(
    ("body", "variables", "shown"),
    [
        ('print("Bär \\udcff")', {"PYTHONIOENCODING": "ascii"}, "B\\xe4r \\udcff\n"),
        ("import matplotlib.pyplot", {"MPLBACKEND": "junk"}, ""),
    ],
)
def test_no_command_fails_for_want_of_letters_or_of_a_screen(body, variables, shown):
    script = f"""
import argparse, sys
from cifar100.__main__ import carry_out
def run(options):
    {body}
def make():
    parser = argparse.ArgumentParser()
    parser.set_defaults(run=run)
    return parser
sys.exit(carry_out(make, []))
"""
    command, environment = [sys.executable, "-c", script], os.environ | variables
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert (run.returncode, run.stdout, run.stderr) == (0, shown, "")


def listens(process) -> bool:
    """Whether it has said what to do when it is to end. Linux tells; elsewhere a second is enough."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return bool(int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) >> (signal.SIGTERM - 1) & 1)
    except OSError:
        time.sleep(1)
        return True


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_stopped_while_it_starts_it_says_so(name, tmp_path):
    command = [sys.executable, "-m", "cifar100", "train", "smoke", "--data", "sample", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        while not listens(process):
            time.sleep(0.01)
        process.send_signal(getattr(signal, name))
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "Stopped." in said and "Traceback" not in said


def test_a_signal_that_is_to_be_ignored_is_ignored():
    script = """
import signal
from cifar100.stopping import listen
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
listen()
signal.raise_signal(signal.SIGHUP)
try:
    signal.raise_signal(signal.SIGQUIT)
except KeyboardInterrupt:
    print("stopped")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (run.stdout, run.stderr) == ("stopped\n", "")
