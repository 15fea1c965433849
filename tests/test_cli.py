import os
import re
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from cifar100 import bench
from cifar100.__main__ import main, make_parser
from cifar100.lr_finder import load_curve
from cifar100.recipes import RECIPES, SPRINT
from tests.conftest import ROOT
from tests.report.test_pages import make_run

NAMES = (
    *("recipes", "train", "evaluate", "predict", "demo", "hand-in", "export-space", "export-onnx", "corruptions"),
    *("report", "find-lr", "bench", "check"),
)


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


def test_paths_lose_quotes_and_blanks_and_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parse = make_parser().parse_args
    here = Path.cwd()
    assert parse(["train", "smoke"]).output == here / "output"
    assert parse(["train", "smoke", "--output", ' "my runs" ']).output == here / "my runs"
    options = parse(["predict", "'a run'", " 'x.png'"])
    assert options.folder == here / "a run" and options.images == ["x.png"]  # by this name it is answered


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
        (["train", "smoke", "--epochs", "0"], "epochs: Input should be greater than 0"),
        (["train", "smoke", "--lr", "-0.1"], "lr: Input should be greater than 0"),
        (["train", "smoke", "--lr", "nan"], "lr: Input should be a finite number"),
        (["train", "smoke", "--batch-size", "0"], "batch_size: Input should be greater than 0"),
        (["bench", "smoke", "--num-workers", "-1"], "workers must be 0 or more, not -1"),
        (["export-onnx", str(ROOT / "output/sprint"), "--to", ""], "is a folder: name a file"),
        (["hand-in", str(ROOT / "output/sprint"), "--to", "/dev/full"], "is a device or a pipe"),
        (["hand-in", str(ROOT / "output/sprint"), "--space", "mine"], "is not the address of a space"),
        (["predict", str(ROOT / "output/sprint"), "a\n\x1b[31m.png"], r"Error: a\n\x1b[31m.png"),
        (["predict", "model.pth", "a.png"], "holds no finished run with weights"),
        (["train", "smoke", "--data", "nowhere"], "There is no data folder "),
        (["train", "smoke", "--data", "."], "holds no CIFAR-100"),
        (["train", "smoke", "--device", "abacus"], "There is no device 'abacus'"),
        (["bench", "smoek"], "Did you mean smoke?"),
        (["find-lr", "resnet65_multistep"], "Did you mean resnet56_multistep?"),
        (["find-lr", "sprint", "--data", "sample"], "The range test is for recipes with one optimizer"),
        (["hand-in", "nowhere"], "holds no finished run"),
        (["predict", "nowhere", "a.png"], "nowhere"),
        (["export-space", "nowhere", "space"], "holds no finished run"),
        (["export-space", "nowhere", "space", "--push", "space"], "is not the name of a Space"),
        (["corruptions", "nowhere"], "holds no finished run"),
        (["corruptions", str(ROOT / "output/sprint"), "--data", "sample"], "was trained on CIFAR-100"),
        (["corruptions", str(ROOT / "output/sprint"), "--images", "0"], "must be 1 or more"),
        (["report", "--repository", "cifar"], "give OWNER/NAME"),
        (["evaluate", "nowhere"], "holds no finished run"),
        (["report", "--run", "nowhere"], "nowhere/metrics.json cannot be read"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_output_that_cannot_be_written(capsys, tmp_path, tiny):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(capsys, "train", "smoke", "--output", tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_read_only_output(tmp_path):
    """As a user other than root, whom no permission stops."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR)
    tiny = [sys.executable, str(ROOT / "tests/conftest.py")]
    command = [*tiny, "train", "smoke", "--output", str(closed), "--data", "elsewhere"]
    if os.getuid() == 0:
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2 and "cannot be written" in run.stderr and "Traceback" not in run.stderr


def test_find_lr_leaves_curve_and_figure(tiny, capsys, tmp_path):
    arguments = ["find-lr", "smoke", "--steps", "10", "--data", "elsewhere", "--output", str(tmp_path)]
    assert main([*arguments, "--device", "cpu"]) == 0
    assert "The recipe uses 0.05." in capsys.readouterr().out
    assert len(load_curve(tmp_path / "smoke/lr_curve.csv").rates) == 10
    assert Image.open(tmp_path / "smoke/lr_curve.png").size == (1800, 760)


def test_find_lr_on_the_sample_says_so_in_its_figure(monkeypatch, tmp_path):
    monkeypatch.setenv("CIFAR100_DATA", "elsewhere")
    titles = []
    monkeypatch.setattr("cifar100.figures.save_figure", lambda figure, path: titles.append(figure.get_suptitle()))
    arguments = ["find-lr", "smoke", "--steps", "10", "--data", "sample", "--output", str(tmp_path)]
    assert main([*arguments, "--device", "cpu"]) == 0 and titles[0].startswith("SAMPLE: ")


def test_train_evaluate_and_report_from_the_command_line(tiny, capsys, tmp_path):
    arguments = ["train", "smoke", "--epochs", "1", "--data", "elsewhere", "--output", str(tmp_path), "--device", "cpu"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "\nEpoch [1/1] - Train Loss: " in out
    folder = tmp_path / "smoke"
    before = {p: p.read_bytes() for p in folder.rglob("*.*") if p.is_file()}
    assert main(["evaluate", str(folder), "--data", "elsewhere", "--device", "cpu"]) == 0
    computed, recorded = re.findall(r"[\d.]+%, loss [\d.]+", capsys.readouterr().out)
    assert computed == recorded
    assert "trained on CIFAR-100" in refused(capsys, "evaluate", folder, "--data", "sample")
    assert main(["report", "--run", str(folder)]) == 0
    assert "Epoch [1/1] - Train Loss: " in capsys.readouterr().out
    assert main([*arguments, "--epochs", "2"]) == 0
    assert {p for p in folder.rglob("*.*") if p.is_file()} == set(before)


def test_bench_and_check_say_what_they_found(capsys, monkeypatch):
    monkeypatch.setitem(RECIPES, "smoke", replace(RECIPES["smoke"], batch_size=16))
    monkeypatch.setattr(bench, "SECONDS", 0.05)
    assert main(["bench", "smoke", "--device", "cpu"]) == 0
    assert re.search(r"training step +[\d,]+ images/s\n", capsys.readouterr().out)
    assert main(["check", "--device", "cpu", "--data", "sample"]) == 0
    assert re.search(r"device +yes  ", capsys.readouterr().out)


def test_a_run_with_other_settings_has_no_place_in_the_recipes_mean(tmp_path, capsys):
    make_run(tmp_path, SPRINT, [0.74])
    make_run(tmp_path, replace(SPRINT, seed=1, lr=1.0), [0.1])
    assert main(["recipes", "--output", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sprint ")]
    assert line.endswith("  74.00%")


def test_a_recipes_own_seed_counts_unless_another_is_named(monkeypatch):
    monkeypatch.setitem(RECIPES, "smoke", replace(RECIPES["smoke"], seed=7))
    seeds = []
    monkeypatch.setattr("cifar100.train.fit", lambda recipe, **settings: [seeds.append(recipe.seed)][:0])
    for arguments in ((), ("--seed", "0"), ("--seeds", "3", "1", "3")):
        assert main(["train", "smoke", *arguments]) == 0
    assert seeds == [7, 0, 3, 1]


@pytest.mark.parametrize("text", ["[]", '{"recipe": "smoke"}'])
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


@pytest.mark.parametrize(("switch", "lines"), [("1", "Traceback (most recent call last):"), ("0", "Error: ")])
def test_what_nobody_expected_is_one_sentence_and_a_traceback_where_it_is_asked_for(switch, lines, capsys, monkeypatch):
    monkeypatch.setenv("CIFAR100_TRACEBACK", switch)
    monkeypatch.setattr("cifar100.commands.load_published", lambda output: 1 / 0)
    assert main(["recipes"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(lines) and said.splitlines()[-1].startswith(
        "Error: This is an unexpected error (ZeroDivision"
    )
    assert (said.count("\n") == 1) == (switch == "0")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(("arguments", "unbuffered"), [("recipes", "1"), ("recipes", ""), ("--help", "")])
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
parser = argparse.ArgumentParser()
parser.set_defaults(run=run)
sys.exit(carry_out(parser, []))
"""
    command, environment = [sys.executable, "-c", script], os.environ | variables
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert (run.returncode, run.stdout, run.stderr) == (0, shown, "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_stopped_while_it_trains_it_says_so(name, tmp_path):
    tiny = [sys.executable, "-u", str(ROOT / "tests/conftest.py")]
    command = [*tiny, "train", "smoke", "--data", "elsewhere", "--epochs", "999", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        first = process.stdout.readline()
        process.send_signal(getattr(signal, name))
        said, _ = process.communicate(timeout=300)
    assert first and process.returncode == 130 and "Stopped." in said and "Traceback" not in said


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
