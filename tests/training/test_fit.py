import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from cifar100.runs.checkpoint import load_checkpoint, save_checkpoint
from cifar100.training.progress import OutOfTime, Progress
from torch import nn

from cifar100.dataset import cifar as data
from cifar100.dataset.cifar import Images
from cifar100.errors import UserError
from cifar100.evaluation.logits import evaluate_run, predict_logits
from cifar100.network import load_network, make_network, save_weights
from cifar100.recipes import SMOKE, SPRINT
from cifar100.report.training_log import render_run
from cifar100.runs import writer
from cifar100.runs.find import find_published, find_run, run_folder, running_folder
from cifar100.runs.history import load_history, save_history
from cifar100.runs.place import claim
from cifar100.runs.run import load_metrics, load_recipe, save_recipe
from cifar100.training import fit as train
from cifar100.training import trainer
from tests.conftest import ROOT, tiny_split

TINY_RUN = [sys.executable, str(ROOT / "tests" / "conftest.py")]
SHORT = replace(SMOKE, epochs=2.5, batch_size=64)  # 5 steps an epoch on 300 images, 13 in all


def finished(recipe, output, **options):
    """Train to the end; returns the records and the folder."""
    records = list(train.fit(recipe, data="elsewhere", output=output, device="cpu", **options))
    return records, run_folder(recipe, output, holdout=options.get("holdout", False))


def content(folder):
    """What must be equal in two runs: settings, history and weights."""
    return {n: (folder / n).read_bytes() for n in ("recipe.json", "history.csv", "weights.safetensors")}


def visible(folder):
    """The names in a folder, the lock's aside."""
    return [p.name for p in folder.iterdir() if not p.name.startswith(".")]


def test_a_run_leaves_what_the_design_promises(tiny, tmp_path):
    records, folder = finished(SHORT, tmp_path)
    assert folder == tmp_path / "smoke" / "seed0"
    assert sorted(p.name for p in folder.iterdir()) == [
        "history.csv",
        "metrics.json",
        "recipe.json",
        "weights.safetensors",
    ]
    assert visible(folder.parent) == ["seed0"]
    assert [record.epoch for record in records] == [1, 2, 3]  # an unfinished last epoch counts as one
    assert load_recipe(folder) == SHORT
    metrics = load_metrics(folder)
    assert metrics["final"]["test_accuracy"] == round(records[-1].eval_accuracy, 6)
    assert metrics["best"]["test_accuracy"] == round(max(r.eval_accuracy for r in records), 6)
    assert metrics["epochs"] == 2.5 and metrics["data"] == "CIFAR-100" and metrics["images_per_second"] > 0
    assert set(metrics) >= {"recipe", "seed", "reached", "seconds", "hardware", "versions", "commit", "sha256"}
    assert records[-1].train_loss < records[0].train_loss


def test_final_numbers_are_those_of_the_saved_weights(tiny, tmp_path):
    records, folder = finished(replace(SHORT, weights_precision="float16"), tmp_path)
    result = evaluate_run(folder, data="elsewhere", device="cpu")
    assert (result.loss, result.accuracy) == (records[-1].eval_loss, records[-1].eval_accuracy)
    assert result.accuracy == pytest.approx(result.run.metrics["final"]["test_accuracy"])
    full = finished(SHORT, tmp_path / "full")[1]
    assert 0.5 < (folder / "weights.safetensors").stat().st_size / (full / "weights.safetensors").stat().st_size < 0.6


def test_same_seed_same_bytes_for_any_number_of_workers(tiny, tmp_path):
    reference = content(finished(SHORT, tmp_path / "a")[1])
    assert content(finished(SHORT, tmp_path / "b", num_workers=2)[1]) == reference
    other = content(finished(replace(SHORT, seed=1), tmp_path / "a")[1])
    assert other["weights.safetensors"] != reference["weights.safetensors"]


def test_the_callers_random_state_between_epochs_does_not_matter(tiny, tmp_path):
    reference = content(finished(SHORT, tmp_path / "a")[1])
    for _ in train.fit(SHORT, data="elsewhere", output=tmp_path / "b", device="cpu"):
        torch.rand(3)
    assert content(tmp_path / "b/smoke/seed0") == reference


@pytest.mark.parametrize("recipe", [SHORT, replace(SPRINT, epochs=2.5, batch_size=64)], ids=["smoke", "sprint"])
def test_resumed_run_equals_an_uninterrupted_one(tiny, tmp_path, recipe):
    reference = content(finished(recipe, tmp_path / "a")[1])
    for stop_after in (1, 2):  # cut off after each epoch, and go on in a new generator
        records = train.fit(recipe, data="elsewhere", output=tmp_path / "b", device="cpu", resume=True)
        for _ in range(stop_after):
            next(records)
        records.close()
    records, folder = finished(recipe, tmp_path / "b", resume=True)
    assert content(folder) == reference and [record.epoch for record in records] == [1, 2, 3]


def test_a_run_that_two_machines_trained_names_both(tiny, tmp_path, monkeypatch):
    first = train.fit(replace(SHORT, epochs=3), data="elsewhere", output=tmp_path, device="cpu")
    next(first)
    first.close()
    monkeypatch.setattr(train, "describe_hardware", lambda device: "an abacus")
    _, folder = finished(replace(SHORT, epochs=3), tmp_path, resume=True)
    metrics = load_metrics(folder)
    assert [machine["epochs"] for machine in metrics["machines"]] == [[1, 1], [2, 3]]
    assert metrics["hardware"] == metrics["machines"][1]["hardware"]
    assert metrics["hardware"].startswith("an abacus, ")
    assert f"epochs 1-1; {metrics['hardware']}: epochs 2-3" in render_run(folder)


def test_a_checkpoint_that_does_not_name_its_machine_is_resumed(tiny, tmp_path):
    recipe = replace(SHORT, epochs=2)
    records = train.fit(recipe, data="elsewhere", output=tmp_path, device="cpu")
    next(records)
    records.close()
    path = tmp_path / "smoke/seed0.running/checkpoint.pt"
    state = load_checkpoint(path, recipe)
    del state["machines"]
    save_checkpoint(path, state)
    _, folder = finished(recipe, tmp_path, resume=True)
    assert load_metrics(folder)["machines"][0] == {"hardware": "unknown hardware", "epochs": [1, 1]}


def test_killed_three_times_and_resumed_equals_one_that_was_not(tmp_path):
    arguments = ["train", "smoke", "--data", "elsewhere", "--device", "cpu", "--batch-size", "16", "--epochs", "8"]
    start = time.time()
    subprocess.run([*TINY_RUN, *arguments, "--output", str(tmp_path / "a")], check=True, stdout=subprocess.DEVNULL)
    an_epoch = (time.time() - start) / 16
    for kill in range(3):
        command = [*TINY_RUN, *arguments, "--output", str(tmp_path / "b"), "--resume"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith(f"Epoch [{2 * kill + 1}/8]"):
                break
        time.sleep(an_epoch / 2)  # somewhere within the next epoch
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert (tmp_path / "b/smoke/seed0.running/checkpoint.pt").exists()
    subprocess.run([*TINY_RUN, *arguments, "--output", str(tmp_path / "b"), "--resume"], check=True)
    assert content(tmp_path / "b/smoke/seed0") == content(tmp_path / "a/smoke/seed0")
    assert visible(tmp_path / "b/smoke") == ["seed0"]


def is_alive(number: str) -> bool:
    """Whether a process still runs; one that has ended may wait for its parent to notice."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not list processes in /proc")
def test_worker_processes_end_after_their_run_was_killed(tmp_path):
    command = [*TINY_RUN, "train", "smoke", "--data", "elsewhere", "--device", "cpu", "--num-workers", "2"]
    command += ["--epochs", "500", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not process.stdout.readline().startswith("Epoch"):
            pass
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(workers) == 2 and all(map(is_alive, workers))
        process.kill()
    patience = time.monotonic() + 30
    while any(map(is_alive, workers)) and time.monotonic() < patience:
        time.sleep(0.2)
    assert not any(map(is_alive, workers))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_keeps_the_finished_epochs(tmp_path, name):
    command = [*TINY_RUN, "train", "smoke", "--data", "elsewhere", "--device", "cpu", "--output", str(tmp_path)]
    process = subprocess.Popen([*command, "--epochs", "500"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not process.stdout.readline().startswith("Epoch"):
        pass
    process.send_signal(getattr(signal, name))
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "continue with --resume" in out and "Traceback" not in errors
    history = load_history(tmp_path / "smoke/seed0.running")
    assert len(history) >= out.count("Epoch [") + 1


def test_a_new_run_takes_the_older_ones_place_only_when_it_has_finished(tiny, tmp_path):
    _, folder = finished(SHORT, tmp_path)
    before, longer = content(folder), replace(SHORT, epochs=3)
    records = train.fit(longer, data="elsewhere", output=tmp_path, device="cpu")
    next(records)
    records.close()
    assert content(folder) == before
    with pytest.raises(UserError, match="unfinished run: continue it with --resume"):
        finished(longer, tmp_path)
    finished(longer, tmp_path, resume=True)
    assert load_recipe(folder) == longer and visible(folder.parent) == ["seed0"]


def test_a_replacement_that_was_cut_off_is_finished(tiny, tmp_path):
    _, folder = finished(SHORT, tmp_path)
    running, replaced = running_folder(folder), folder.with_name("seed0.replaced")
    folder.rename(replaced)  # killed between the two renames, before the new run was complete
    with claim(folder):
        assert folder.exists() and not replaced.exists()
    expected = content(folder)
    folder.rename(running)  # killed when it was
    with claim(folder):
        assert content(folder) == expected


def test_resuming_a_finished_run_trains_nothing(tiny, tmp_path, monkeypatch):
    records, folder = finished(SHORT, tmp_path)
    monkeypatch.setattr(train, "train_one_epoch", None)
    again, _ = finished(SHORT, tmp_path, resume=True)
    assert [r.to_row() for r in again] == [r.to_row() for r in records]


def test_a_crash_between_checkpoint_and_history_loses_no_epoch(tiny, tmp_path, monkeypatch):
    expected = content(finished(SHORT, tmp_path / "a")[1])
    save, calls = save_history, []

    def fails_at_the_end(folder, history):
        calls.append(folder)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(folder, history)

    monkeypatch.setattr(writer, "save_history", fails_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        finished(SHORT, tmp_path / "b")
    monkeypatch.setattr(writer, "save_history", save)
    records, folder = finished(SHORT, tmp_path / "b", resume=True)
    assert [record.epoch for record in records] == [1, 2, 3]
    assert content(folder) == expected


def test_two_runs_in_one_folder(tiny, tmp_path):
    first = train.fit(SHORT, data="elsewhere", output=tmp_path, device="cpu")
    next(first)
    with pytest.raises(UserError, match=f"Process {os.getpid()} is training"):
        finished(SHORT, tmp_path)
    assert len(list(first)) == 2


def test_holdout_leaves_the_test_split_unread(monkeypatch, tmp_path):
    def split(name, folder):
        assert name == "train"
        fine = np.repeat(np.arange(10), 20)
        return Images(np.zeros((200, 32, 32, 3), np.uint8), fine, fine)

    monkeypatch.setattr(data, "load_split", split)
    records, folder = finished(SHORT, tmp_path, holdout=True)
    assert folder == tmp_path / "smoke/holdout/seed0"
    assert records[-1].eval_split == "validation"
    metrics = load_metrics(folder)
    assert "validation_accuracy" in metrics["final"] and "test_accuracy" not in json.dumps(metrics)
    assert "validation_loss" in (folder / "history.csv").read_text()


def test_evaluate_is_a_mean_over_images_whatever_the_batch_size():
    torch.manual_seed(0)
    network = make_network(SMOKE)
    generator = np.random.default_rng(0)
    fine = generator.integers(0, 100, 101)
    data = Images(generator.integers(0, 256, (101, 32, 32, 3), np.uint8), fine, fine)
    reference = train.evaluate(network, data, torch.device("cpu"), 101)
    for batch_size in (1, 7, 100):
        assert train.evaluate(network, data, torch.device("cpu"), batch_size) == pytest.approx(reference, rel=1e-6)
    logits = predict_logits(network, torch.from_numpy(data.images)).double().numpy()
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(101), fine]
    assert reference == pytest.approx((losses.mean(), (logits.argmax(1) == fine).mean()), rel=1e-6)


def test_training_loss_is_weighted_by_the_size_of_the_batches(tiny, monkeypatch, tmp_path):
    """300 images in batches of 256 and 44: a mean of batch means would be another number."""
    values = iter([1.0, 3.0])
    monkeypatch.setattr(trainer, "train_step", lambda *_: (torch.tensor(next(values)), torch.tensor(22)))
    records, _ = finished(replace(SMOKE, epochs=1, batch_size=256), tmp_path)
    assert records[0].train_loss == pytest.approx((256 * 1.0 + 44 * 3.0) / 300)
    assert records[0].train_accuracy == pytest.approx(44 / 300)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tiny, tmp_path, monkeypatch):
    original = trainer.train_step

    def step(trainer, inputs, labels):
        if trainer.schedulers[0].last_epoch == 7:  # the third step of the second epoch
            trainer.network.head.weight.data.fill_(torch.nan)
        return original(trainer, inputs, labels)

    monkeypatch.setattr(trainer, "train_step", step)
    with pytest.raises(UserError, match="not a finite number in epoch 2, step 3"):
        finished(SHORT, tmp_path)
    monkeypatch.setattr(trainer, "train_step", original)
    records, _ = finished(SHORT, tmp_path, resume=True)
    assert len(records) == 3


def test_weights_that_turn_nan_in_the_last_step_do_not_replace_the_checkpoint(tiny, tmp_path, monkeypatch):
    checkpoint = cut_off(SHORT, tmp_path)
    before, original = checkpoint.read_bytes(), trainer.train_step

    def step(own, inputs, labels):
        result = original(own, inputs, labels)
        if own.schedulers[0].last_epoch == 10:  # the second epoch's last: its loss was still a number
            own.network.head.weight.data.fill_(torch.nan)
        return result

    monkeypatch.setattr(trainer, "train_step", step)
    with pytest.raises(UserError, match="no longer a finite number in epoch 2"):
        finished(SHORT, tmp_path, resume=True)
    assert checkpoint.read_bytes() == before


def cut_off(recipe, output):
    """A run after its first epoch; returns its checkpoint."""
    records = train.fit(recipe, data="elsewhere", output=output, device="cpu")
    next(records)
    records.close()
    return output / recipe.name / "seed0.running" / "checkpoint.pt"


@pytest.mark.parametrize("harm", ["a byte", "gone"])
def test_weights_that_were_damaged_before_the_end_are_written_anew_from_the_checkpoint(
    harm, tiny, tmp_path, monkeypatch
):
    """The run was cut off after its last checkpoint: only then are the weights' checksums taken."""
    recipe = replace(SHORT, epochs=2)
    _, whole = finished(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(writer.RunWriter, "finish", Mock(side_effect=KeyboardInterrupt))
        finished(recipe, tmp_path)
    weights = tmp_path / "smoke/seed0.running/weights.safetensors"
    content_before = weights.read_bytes()
    weights.unlink()
    if harm == "a byte":
        weights.write_bytes(content_before[:-1] + bytes([content_before[-1] ^ 1]))
    records, folder = finished(recipe, tmp_path, resume=True)
    assert content(folder) == content(whole) and len(records) == 2


def test_checkpoints_that_do_not_fit_are_refused(tiny, tmp_path):
    checkpoint = cut_off(SHORT, tmp_path)
    with pytest.raises(UserError, match="from another recipe .lr 0.05 there, 0.3 here"):
        finished(replace(SHORT, lr=0.3), tmp_path, resume=True)
    with pytest.raises(UserError, match="another recipe .network 'resnet20' there, 'resnet18' here"):
        finished(replace(SHORT, network="resnet18"), tmp_path, resume=True)
    whole = checkpoint.read_bytes()
    for damaged in (whole[:-1000], whole[: len(whole) // 2], b"", b"\x80\x04garbage"):
        checkpoint.write_bytes(damaged)
        with pytest.raises(UserError, match="checkpoint .* is damaged"):
            finished(SHORT, tmp_path, resume=True)
    assert checkpoint.exists()  # nobody deletes it but the user


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("parts"),
        lambda state: state.pop("history"),
        lambda state: state["parts"].pop("scheduler0"),
        lambda state: state["parts"]["network"].pop("head.bias"),
        lambda state: state.update(history=[{"epoch": 1}]),
        lambda state: state.update(recipe=3),
    ],
)
def test_a_checkpoint_that_loads_but_does_not_fit(change, tiny, tmp_path):
    checkpoint = cut_off(SHORT, tmp_path)
    state = torch.load(checkpoint, weights_only=True)
    change(state)
    save_checkpoint(checkpoint, state)  # with a checksum that is right
    with pytest.raises(UserError, match="does not fit its recipe|is damaged"):
        finished(SHORT, tmp_path, resume=True)


def test_a_checkpoint_with_code_in_it_is_never_opened(tiny, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "mark"),))

    checkpoint = cut_off(SHORT, tmp_path)
    save_checkpoint(checkpoint, {"recipe": SHORT.to_dict(), "parts": Trap()})
    with pytest.raises(UserError, match="damaged"):
        finished(SHORT, tmp_path, resume=True)
    checkpoint.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="damaged"):
        finished(SHORT, tmp_path, resume=True)
    assert not (tmp_path / "mark").exists()


def test_a_full_disk_keeps_the_old_checkpoint(tiny, tmp_path, monkeypatch):
    checkpoint = cut_off(SHORT, tmp_path)
    before = checkpoint.read_bytes()

    def full(descriptor):
        if os.fstat(descriptor).st_size > 1e6:  # the checkpoint alone is that large
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="checkpoint.pt could not be written .No space left on device.*free some space"):
        finished(SHORT, tmp_path, resume=True)
    monkeypatch.undo()
    assert checkpoint.read_bytes() == before
    assert not [p for p in checkpoint.parent.iterdir() if p.suffix == ".tmp"]


def test_weights_of_another_network_or_not_finite_are_refused(tiny, tmp_path):
    _, folder = finished(SHORT, tmp_path)
    save_recipe(folder, replace(SHORT, network="resnet56"))
    with pytest.raises(UserError, match="another network"):
        load_network(folder)
    save_recipe(folder, SHORT)
    network = make_network(SHORT)
    nn.init.constant_(network.head.bias, torch.inf)
    save_weights(folder / "weights.safetensors", network, SHORT)
    with pytest.raises(UserError, match="not finite"):
        load_network(folder)
    (folder / "weights.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match="damaged"):
        load_network(folder)


class Clock:
    """time.monotonic in the hands of a test."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("cifar100.training.progress.time.monotonic", lambda: self.now)

    def train(self, progress, seconds, epoch=1, total=None):
        """An epoch of steps that take so many seconds each."""
        for step, _ in enumerate(progress(range(len(seconds)), epoch, len(seconds), 0, total or len(seconds))):
            self.now += seconds[step]


def test_the_estimate_counts_pixels_and_leaves_the_first_steps_out(monkeypatch):
    clock, said = Clock(monkeypatch), []
    progress = Progress(replace(SPRINT, resolutions=((0.5, 16),)), say=said.append)
    clock.train(progress, [600.0, 9.0, 9.0, *[1.0] * 7], total=20)  # it compiles first
    assert said == ["About 41 s to go, evaluation aside."]  # after 6 steps of 1 s: one more, and 10 of 4 s


def test_a_run_stops_before_the_deadline_and_not_for_a_slow_start(monkeypatch):
    clock = Clock(monkeypatch)
    progress = Progress(SMOKE, deadline=300.0)
    clock.train(progress, [60.0, *[0.1] * 99])  # 70 s and the evaluation: it fits
    late = Progress(SMOKE, deadline=clock.now + 50)
    with pytest.raises(OutOfTime):
        clock.train(late, [1.0] * 100)
    assert clock.now < 70 + 10  # it is seen at once, not when the time is over


def test_a_run_on_the_sample_stays_out_of_the_reports(tmp_path):
    recipe = replace(SMOKE, epochs=0.1)
    folder = tmp_path / "sample/smoke/seed0"
    assert len(list(train.fit(recipe, data="sample", output=tmp_path, device="cpu"))) == 1
    assert load_metrics(folder)["data"] == "sample" and not find_published(tmp_path)
    result = evaluate_run(find_run(tmp_path / "sample/smoke"), device="cpu")
    assert len(result.data) == 1000
    assert result.accuracy == pytest.approx(result.run.metrics["final"]["test_accuracy"])


def test_a_holdout_run_is_evaluated_on_its_own_images(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "load_split", lambda split, folder: tiny_split(split).take(np.tile(np.arange(100), 10)))
    finished(replace(SHORT, epochs=1), tmp_path, holdout=True)
    result = evaluate_run(find_run(tmp_path / "smoke/holdout"), data="elsewhere", device="cpu")
    assert result.run.split == "validation"
    assert result.accuracy == pytest.approx(result.run.metrics["final"]["validation_accuracy"])
