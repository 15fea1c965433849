"""A run from its first step to its last: what it leaves, what an interruption leaves, and what each number means."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cifar100 import train
from cifar100.dataset.augment_image import to_input
from cifar100.dataset.cifar import Images
from cifar100.errors import UserError
from cifar100.evaluation.logits import evaluate_run
from cifar100.evaluation.metrics import summarise_predictions
from cifar100.network import make_network
from cifar100.recipes import RECIPES, SMOKE, SPRINT
from cifar100.runs.find import RUN_FILES, run_folder
from cifar100.runs.history import load_history
from cifar100.runs.run import load_metrics, load_recipe
from cifar100.train import build, evaluate, fit, train_one_epoch
from cifar100.training.forward import compile_forward, make_forward
from tests.conftest import ROOT, tiny_split

CPU = torch.device("cpu")
SHORT = replace(SMOKE, epochs=2.5, batch_size=64)  # 5 steps an epoch on 300 images, 13 in all
COMMAND = [sys.executable, str(ROOT / "tests/conftest.py"), "train", "smoke", "--data", "elsewhere", "--device", "cpu"]


def finished(recipe, output, **options):
    """Train to the end; returns the records and the folder."""
    records = list(fit(recipe, data="elsewhere", output=output, device="cpu", **options))
    return records, run_folder(recipe, output, holdout=options.get("holdout", False))


def content(folder):
    """What must be equal in two runs: settings, history and weights."""
    return {name: (folder / name).read_bytes() for name in RUN_FILES if name != "metrics.json"}


def cut_off(recipe, output, **options):
    """A run after its first epoch; returns its checkpoint."""
    records = fit(recipe, data="elsewhere", output=output, device="cpu", **options)
    next(records)
    records.close()
    return output / recipe.name / "seed0.running/checkpoint.pt"


def test_a_run_leaves_what_the_design_promises(tiny, tmp_path):
    records, folder = finished(replace(SHORT, weights_precision="float16"), tmp_path)
    assert folder == tmp_path / "smoke/seed0" and {p.name for p in folder.iterdir()} == set(RUN_FILES)
    assert [p.name for p in folder.parent.iterdir() if not p.name.startswith(".")] == ["seed0"]
    assert [record.epoch for record in records] == [1, 2, 3]  # an unfinished last epoch counts as one
    assert load_recipe(folder) == replace(SHORT, weights_precision="float16")
    metrics = load_metrics(folder)
    assert metrics["best"]["test_accuracy"] == round(max(r.eval_accuracy for r in records), 6)
    assert metrics["epochs"] == 2.5 and metrics["data"] == "CIFAR-100" and metrics["images_per_second"] > 0
    result = evaluate_run(folder, data="elsewhere", device="cpu")  # the final numbers are those of the saved weights
    summary = summarise_predictions(result.logits, result.data.fine)
    assert summary["nll"] == pytest.approx(records[-1].eval_loss, abs=1e-6)
    assert metrics["final"]["test_accuracy"] == summary["top1"]


@pytest.mark.parametrize("recipe", [SHORT, replace(SPRINT, epochs=2.5, batch_size=64)], ids=["smoke", "sprint"])
def test_a_resumed_run_equals_an_uninterrupted_one(tiny, tmp_path, recipe):
    """Cut off after each epoch, by any number of workers, and whatever its caller draws at random."""
    reference = content(finished(recipe, tmp_path / "a")[1])
    for stop_after, workers in ((1, 2), (2, 0)):
        records = fit(recipe, data="elsewhere", output=tmp_path / "b", device="cpu", resume=True, num_workers=workers)
        for _ in range(stop_after):
            next(records)
            torch.rand(3)
        records.close()
    records, folder = finished(recipe, tmp_path / "b", resume=True)
    assert content(folder) == reference and [record.epoch for record in records] == [1, 2, 3]
    again, _ = finished(recipe, tmp_path / "b", resume=True)  # a finished run is only read
    assert [r.to_row() for r in again] == [r.to_row() for r in records]


def test_killed_three_times_and_resumed_equals_one_that_was_not(tmp_path):
    options = ["--batch-size", "16", "--epochs", "5"]
    subprocess.run([*COMMAND, *options, "--output", tmp_path / "a"], check=True, stdout=subprocess.DEVNULL)
    for kill in range(3):
        command = [*COMMAND, *options, "--output", tmp_path / "b", "--resume"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            while not process.stdout.readline().startswith(f"Epoch [{kill + 1}/5]"):
                pass
            process.kill()
        assert process.returncode == -signal.SIGKILL
    subprocess.run([*COMMAND, *options, "--output", tmp_path / "b", "--resume"], check=True)
    assert content(tmp_path / "b/smoke/seed0") == content(tmp_path / "a/smoke/seed0")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_keeps_the_finished_epochs(tmp_path, name):
    command = [*COMMAND, "--epochs", "500", "--num-workers", "1", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not process.stdout.readline().startswith("Epoch"):
            pass
        process.send_signal(getattr(signal, name))
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "train --resume" in errors and "Traceback" not in errors
    assert len(load_history(tmp_path / "smoke/seed0.running")) >= out.count("Epoch [") + 1


def test_a_new_run_takes_the_older_ones_place_only_when_it_has_finished(tiny, tmp_path):
    _, folder = finished(SHORT, tmp_path)
    before, longer = content(folder), replace(SHORT, epochs=3)
    cut_off(longer, tmp_path)
    assert content(folder) == before
    with pytest.raises(UserError, match="unfinished run: continue it with --resume"):
        finished(longer, tmp_path)
    with pytest.raises(UserError, match="a recipe with other settings: resume with the same options"):
        finished(replace(longer, lr=0.1), tmp_path, resume=True)
    finished(longer, tmp_path, resume=True)
    assert load_recipe(folder) == longer


def flip_a_bit(checkpoint):
    damaged = bytearray(checkpoint)
    damaged[len(damaged) // 2] ^= 1
    return bytes(damaged)


@pytest.mark.parametrize("damage", [flip_a_bit, lambda content: content[: len(content) // 2], lambda content: b"x"])
def test_a_damaged_checkpoint_is_not_trained_on(tiny, tmp_path, damage):
    checkpoint = cut_off(SHORT, tmp_path)
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(UserError, match="damaged: delete seed0.running"):
        finished(SHORT, tmp_path, resume=True)


def test_a_run_that_two_machines_trained_names_both(tiny, tmp_path, monkeypatch):
    cut_off(replace(SHORT, epochs=3), tmp_path)
    monkeypatch.setattr(train, "describe_hardware", lambda device: "an abacus")
    _, folder = finished(replace(SHORT, epochs=3), tmp_path, resume=True)
    metrics = load_metrics(folder)
    assert [machine["epochs"] for machine in metrics["machines"]] == [[1, 1], [2, 3]]
    assert metrics["hardware"] == metrics["machines"][1]["hardware"] and "an abacus" in metrics["hardware"]


def test_holdout_leaves_the_test_split_unread(monkeypatch, tmp_path):
    def split(name, folder):
        assert name == "train"
        fine = np.repeat(np.arange(10), 20)
        return Images(np.zeros((200, 32, 32, 3), np.uint8), fine, fine)

    monkeypatch.setattr("cifar100.dataset.cifar.load_split", split)
    records, folder = finished(SHORT, tmp_path, holdout=True)
    assert folder == tmp_path / "smoke/holdout/seed0" and records[-1].eval_split == "validation"
    assert "validation_accuracy" in load_metrics(folder)["final"]
    assert "test_accuracy" not in json.dumps(load_metrics(folder))


def test_a_first_epoch_equals_one_written_out():
    """An oracle: SGD by torch alone, on the loader's own batches."""
    data = tiny_split("train")
    recipe = replace(SMOKE, epochs=1, batch_size=256, label_smoothing=0.1)  # 256 images, then 44
    training, network = build(recipe, data, CPU, precision="float32"), make_network(recipe).train()
    optimizer = torch.optim.SGD(network.parameters(), recipe.lr, recipe.momentum, 0, recipe.weight_decay, True)
    training.augmentation.start_epoch(1, CPU)
    factors = [(step + 0.5) / 2 / 0.3 if (step + 0.5) / 2 < 0.3 else (1 - (step + 0.5) / 2) / 0.7 for step in range(2)]
    losses, correct = 0.0, 0
    for (images, labels, indices), factor in zip(training.loader.epoch(1), factors):
        optimizer.param_groups[0]["lr"] = recipe.lr * factor
        logits = network(training.augmentation(images, indices, 32))
        loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses, correct = losses + loss.item() * len(labels), correct + (logits.argmax(1) == labels).sum().item()
    loss, accuracy, lr = train_one_epoch(training, 1)
    assert loss == pytest.approx(losses / 300, rel=1e-5) and accuracy == pytest.approx(correct / 300)
    assert lr == pytest.approx(recipe.lr * factors[-1])
    for own, expected in zip(training.network.parameters(), network.parameters()):
        assert torch.allclose(own, expected, atol=1e-5)


def test_evaluation_is_a_mean_over_images():
    generator = np.random.default_rng(0)
    fine = generator.integers(0, 100, 501)  # one more than a batch
    data = Images(generator.integers(0, 256, (501, 32, 32, 3), np.uint8), fine, fine)
    network = make_network(SMOKE)
    scores = evaluate(network, data)
    with torch.no_grad():
        logits = network(to_input(torch.from_numpy(data.images))).double()
    expected = F.cross_entropy(logits, torch.from_numpy(fine)).item(), (logits.argmax(1).numpy() == fine).mean()
    assert scores == pytest.approx(expected, rel=1e-6)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tiny, tmp_path):
    checkpoint = cut_off(SHORT, tmp_path)
    before, broken = checkpoint.read_bytes(), make_network(SHORT)
    original = broken.forward
    broken.forward = lambda x: original(x) * torch.nan
    with pytest.raises(UserError, match="not finite at step 1 of epoch 2"):
        finished(SHORT, tmp_path, resume=True, network=broken)
    assert checkpoint.read_bytes() == before


def test_the_compiled_step_computes_what_the_plain_one_does():
    torch.manual_seed(0)
    network = make_network(SMOKE)
    plain = make_forward(network, torch.float32, 0.1, CPU)
    step = compile_forward(plain, 8, print, backend="aot_eager")
    for count in (8, 5):  # a whole batch, and an epoch's last one
        inputs, labels = torch.randn(count, 3, 32, 32), torch.arange(count)
        results = []
        for forward in (plain, step):
            network.train().zero_grad()
            loss, logits = forward(inputs, labels)
            loss.backward()
            results.append((loss.detach(), logits.detach(), network.head.weight.grad.clone()))
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*results))


def test_the_plain_step_serves_where_the_compiler_raises():
    def breaks(graph, inputs):
        raise RuntimeError("no compiler here")

    said = []
    step = compile_forward(make_forward(make_network(SMOKE), torch.float32, 0.0, CPU), 4, said.append, backend=breaks)
    for _ in range(2):
        assert step(torch.zeros(4, 3, 32, 32), torch.arange(4))[0].isfinite()
    assert ["could not be compiled" in line for line in said] == [False, True]


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "smoke"])
def test_every_recipe_takes_its_steps(tiny, tmp_path, name):
    """Four steps of the recipe as it is, but for the size of its batches and of a costly network."""
    recipe = RECIPES[name]
    small = {"network": "resnet20"} if recipe.network.startswith("resnet") else {}
    milestones = tuple(m * 4 / 5 / recipe.epochs for m in recipe.milestones)
    recipe = replace(recipe, **small, epochs=4 / 5, batch_size=64, milestones=milestones)
    records, folder = finished(recipe, tmp_path)
    assert np.isfinite(records[-1].train_loss) and load_recipe(folder) == recipe
