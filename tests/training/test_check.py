"""What `python -m cifar100 check` finds where something is wrong, and where nothing is."""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cifar100.training.check import Finding, attempt, format_findings, list_choices
from cifar100.training.step import LossStep
from cifar100.training.trainer import make_trainer

from cifar100.__main__ import main
from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.dataset.loader import TrainingLoader
from cifar100.dataset.sample import make_sample
from cifar100.recipes import SMOKE
from cifar100.training import check

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def few() -> Images:
    sample = make_sample(COARSE_OF_FINE, "test")
    return Images(sample.images, sample.fine, sample.coarse).take(np.arange(100))


def test_on_a_working_machine_every_row_says_yes_and_soon(capsys, tmp_path):
    """The whole of it, training included, which compares REFERENCE with this machine."""
    start = time.monotonic()
    assert main(["check", "--device", "cpu", "--data", "sample", "--output", str(tmp_path)]) == 0
    assert time.monotonic() - start < 200  # 17 s on two good cores, 69 s on two without AVX512
    *rows, last = capsys.readouterr().out.splitlines()
    found = {row[:22].strip(): row[22:].split()[0] for row in rows}
    assert set(found.values()) == {"yes"}
    assert list(found) == [
        *("compiled step", "training", "augmentation", "worker processes"),
        *("versions", "device", "precision", "disk", "data", "sprint", "resnet56_multistep"),
    ]
    assert last.startswith("All of this works") and list(tmp_path.iterdir()) == []


def test_where_something_fails_the_exit_code_says_so(capsys, monkeypatch):
    rows = [Finding("device", True, "a GPU"), Finding("training", False, "loss nan")]
    monkeypatch.setattr(check, "check", lambda *_: iter(rows))
    assert main(["check"]) == 2
    out, error = capsys.readouterr()
    assert "training              NO   loss nan" in out
    assert error == "Error: Not everything works here (training): put this table into your report of it.\n"


def test_a_course_that_teaches_nothing_is_seen():
    by_chance = {"train loss": np.log(100), "test loss": np.log(100), "test accuracy": 0.01}
    assert check.judge_course(check.REFERENCE)[0] and not check.judge_course(by_chance)[0]
    for name in check.REFERENCE:  # one number that is off is enough, and so is one that is none
        for off in (2 * check.TOLERANCE[name], float("nan")):
            changed = check.REFERENCE | {name: check.REFERENCE[name] + off}
            assert not check.judge_course(changed)[0]


def test_a_compiled_step_that_is_wrong_is_seen(few, monkeypatch):
    compute = LossStep.forward_compiled
    monkeypatch.setattr(LossStep, "forward_compiled", lambda self, *batch: [2 * part for part in compute(self, *batch)])
    proven, text = check.try_compiled(make_trainer(replace(SMOKE, batch_size=20), few, CPU))
    assert not proven and "does not compute the same when it is compiled (its loss differs by 100%" in text


def test_workers_that_prepare_other_batches_are_seen(few, monkeypatch):
    assert check.try_workers(few, CPU)[0]
    epoch = TrainingLoader.epoch
    monkeypatch.setattr(TrainingLoader, "epoch", lambda self, number: epoch(self, number + self.num_workers))
    assert not check.try_workers(few, CPU)[0]


def test_pipelines_that_differ_are_seen(few, monkeypatch):
    many = few.take(np.arange(1000) % 100)
    assert check.compare_pipelines(many, CPU)[0]
    augment = check.BatchAugmentation.augment
    monkeypatch.setattr(check.BatchAugmentation, "augment", lambda *batch: augment(*batch) * 0.9)
    assert not check.compare_pipelines(many, CPU)[0]


def test_whatever_goes_wrong_becomes_a_row():
    def fail():
        raise RuntimeError("CUDA error: no kernel image is available\nand more")

    assert str(attempt("training", fail)).endswith("NO   RuntimeError: CUDA error: no kernel image is available")


def test_data_is_read_and_never_fetched(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    works, text = check.judge_data(None)
    assert works and "none in data yet" in text and "www.cs.toronto.edu, " in text and not list(tmp_path.iterdir())
    assert not check.judge_data(tmp_path)[0]
    for split in ("train", "test"):
        (tmp_path / "cifar-100-binary").mkdir(exist_ok=True)
        (tmp_path / f"cifar-100-binary/{split}.bin").write_bytes(b"damaged")
    finding = attempt("data", lambda: check.judge_data(tmp_path))
    assert finding.works is False and "is not the official one" in finding.text


def test_a_full_gpu_and_a_full_disk_are_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (300_000_000, 16_000_000_000))
    works, text = check.judge_memory(torch.device("cuda"))
    assert not works and text.startswith("0.3 of 16.0 GB are free: close what else uses the GPU")
    assert check.judge_disk([tmp_path / "not" / "there"])[0]
    monkeypatch.setattr(check.shutil, "disk_usage", lambda folder: SimpleNamespace(free=20_000_000))
    assert not check.judge_disk([tmp_path])[0]


def test_the_short_form_says_what_will_be_used(tmp_path):
    start = time.monotonic()
    text = format_findings(list_choices("cpu", "sample", tmp_path))
    assert time.monotonic() - start < 10
    assert "resnet56_multistep    yes  is trained on cpu, in " in text and "with plain steps and batches made" in text
