"""Every recipe trains; averaging, mixing and compiling do what they say."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cifar100.training.trainer import make_trainer, train_one_epoch, train_step

from cifar100.__main__ import main
from cifar100.dataset import cifar as data
from cifar100.dataset.augment_batch import mix
from cifar100.dataset.cifar import COARSE_OF_FINE, Images
from cifar100.dataset.sample import make_sample
from cifar100.errors import UserError
from cifar100.network import load_network
from cifar100.recipe import Augmentation
from cifar100.recipes import RECIPES, SMOKE, find_recipe
from cifar100.runs.find import find_run
from cifar100.runs.history import load_history
from cifar100.training import fit as train
from cifar100.training import trainer
from tests.conftest import ROOT

CPU = torch.device("cpu")
SHORT = replace(SMOKE, epochs=2.5, batch_size=64)
# The forms of a recipe with other epochs train in just the same way.
SAME = {"name": "any", "epochs": 3, "milestones": ()}
DISTINCT = list({repr(recipe.to_dict() | SAME): name for name, recipe in reversed(RECIPES.items())}.values())[::-1]


@pytest.fixture(scope="module")
def few():
    """The first 48 images of the sample's test split to train on, the next 20 to evaluate on."""
    sample = make_sample(COARSE_OF_FINE, "test")
    images = Images(sample.images, sample.fine, sample.coarse)
    return {"train": images.take(np.arange(48)), "test": images.take(np.arange(48, 68))}


def records_of(recipe, output, **options):
    fitted = train.fit(recipe, data="elsewhere", output=output, device="cpu", say=lambda text: None, **options)
    return [record.to_row() for record in fitted]


@pytest.mark.parametrize("name", DISTINCT)
def test_every_recipe_trains_to_the_same_numbers_with_0_and_2_workers(name, few, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load_split", lambda split, data: few[split])
    recipe = find_recipe(name, epochs=1.5, batch_size=24)
    first = records_of(recipe, tmp_path / "a", num_workers=0)
    assert len(first) == 2 and all(np.isfinite(list(row.values())).all() for row in first)
    assert records_of(recipe, tmp_path / "b", num_workers=2) == first
    weights = [(tmp_path / k / name / "seed0/weights.safetensors").read_bytes() for k in "ab"]
    assert weights[0] == weights[1]


def test_averaged_weights_are_those_that_are_saved_and_evaluated(few, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load_split", lambda split, data: few[split])
    recipe = replace(SHORT, batch_size=24, ema_decay=0.5)
    seen = []
    original = trainer.train_step

    def step(trainer, inputs, targets):
        result = original(trainer, inputs, targets)
        seen.append(trainer.network.head.weight.detach().clone())
        return result

    monkeypatch.setattr(trainer, "train_step", step)
    rows = records_of(recipe, tmp_path)
    expected = seen[0]  # the average starts from the first step's weights
    for weight in seen[1:]:
        expected = 0.5 * expected + 0.5 * weight
    network = load_network(find_run(tmp_path / "smoke"))
    torch.testing.assert_close(network.head.weight.detach(), expected)
    assert round(train.evaluate(network, few["test"], CPU)[0], 6) == rows[-1]["test_loss"]


def test_a_run_with_averaging_and_mixing_resumes_to_the_same_bytes(tiny, tmp_path):
    augmentation = Augmentation(flip="random", cutmix_alpha=1.0, mixup_alpha=0.2, mix_probability=0.7)
    recipe = replace(SHORT, ema_decay=0.9, augmentation=augmentation, dropout=0.3)
    expected = records_of(recipe, tmp_path / "a")
    cut_off = train.fit(recipe, data="elsewhere", output=tmp_path / "b", device="cpu", num_workers=1)
    next(cut_off)
    cut_off.close()
    assert records_of(recipe, tmp_path / "b", resume=True) == expected
    files = [(tmp_path / k / "smoke/seed0/weights.safetensors").read_bytes() for k in "ab"]
    assert files[0] == files[1]


@pytest.mark.parametrize("name", [name for name in DISTINCT if RECIPES[name].schedule != "triangle"])
def test_every_schedule_resumes_where_it_was(name, few, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load_split", lambda split, folder: few[split])
    recipe = replace(find_recipe(name, epochs=3, batch_size=16), network="resnet20")
    expected = records_of(recipe, tmp_path / "a")
    cut_off = train.fit(recipe, data="elsewhere", output=tmp_path / "b", device="cpu", say=lambda text: None)
    next(cut_off)
    cut_off.close()
    assert records_of(recipe, tmp_path / "b", resume=True) == expected


def test_mixing_shares_the_labels():
    torch.manual_seed(0)
    inputs, labels = torch.randn(8, 3, 32, 32), torch.arange(8)
    for augmentation in (Augmentation(cutmix_alpha=1.0), Augmentation(mixup_alpha=1.0)):
        mixed, shares = mix(inputs, labels, augmentation)
        torch.testing.assert_close(shares.sum(1), torch.ones(8))
        share = shares[0, 0]
        if augmentation.cutmix_alpha:
            own = (mixed == inputs).all(1).float().mean((1, 2))
            torch.testing.assert_close(own, share.expand(8))  # the share is the area that was left
        else:
            torch.testing.assert_close(mixed, share * inputs + (1 - share) * inputs.roll(1, 0))
    untouched, shares = mix(inputs, labels, Augmentation(cutmix_alpha=1.0, mix_probability=0.0))
    assert torch.equal(untouched, inputs) and torch.equal(shares, F.one_hot(labels, 100).float())
    assert mix(inputs, labels, Augmentation()) == (inputs, labels)


def test_training_accuracy_counts_the_label_with_the_larger_share(few):
    trainer = make_trainer(replace(SMOKE, batch_size=24), few["train"], CPU)
    inputs, targets = torch.randn(24, 3, 32, 32), torch.zeros(24, 100)
    targets[:, 3], targets[:, 5] = 0.4, 0.6
    trainer.network.head.bias.data[5] = 100.0
    assert train_step(trainer, inputs, targets)[1] == 24


# --- bad input -------------------------------------------------------------------------------------


def test_a_batch_larger_than_the_data(tiny, tmp_path):
    with pytest.raises(UserError, match="A batch of 301 is larger than the 300 training images"):
        records_of(replace(SHORT, batch_size=301), tmp_path)
    assert not list(tmp_path.rglob("[!.]*.*"))  # the lock aside


@pytest.mark.parametrize("milestones", [(), (5, 3), (3, 3), (0, 2), (3, 10), (3, 12)])
def test_milestones_must_rise_and_lie_before_the_end(milestones):
    with pytest.raises(UserError, match="milestones must be"):
        replace(RECIPES["resnet56_multistep"], epochs=10, milestones=milestones)


def test_milestones_keep_their_place_in_a_shorter_run():
    assert find_recipe("resnet56_multistep", epochs=10).milestones == pytest.approx((4, 7, 8.5))


def test_a_worker_that_is_killed_ends_the_run_with_a_message(few):
    recipe = replace(RECIPES["resnet56_multistep"], batch_size=4)
    trainer = make_trainer(recipe, few["train"], CPU, num_workers=2)
    batches = trainer.loader.epoch(1)
    next(batches)
    start = time.time()
    for worker in list(trainer.loader.workers._iterator._workers):
        os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(UserError, match="process that prepares the batches has died"):
        for _ in range(50):
            list(batches)
            batches = trainer.loader.epoch(2)
    assert time.time() - start < 30


def test_an_error_in_a_worker_ends_the_run_with_that_error(few):
    recipe = replace(RECIPES["resnet56_multistep"], batch_size=4)
    trainer = make_trainer(recipe, few["train"], CPU, num_workers=2)
    trainer.loader.dataset.augmentation.pipeline = None
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        train_one_epoch(trainer, 1)


# --- the queue -------------------------------------------------------------------------------------

QUEUE = [sys.executable, str(ROOT / "tests" / "conftest.py"), "train", "--all", "--epochs", "3"]


def test_the_queue_is_interrupted_and_continued_and_loses_nothing(tmp_path):
    """All recipes made small (see conftest), killed once, stopped by the time once, then to the end."""
    command = [*QUEUE, "--data", "elsewhere", "--output", str(tmp_path), "--batch-size", "100", "--device", "cpu"]
    process = subprocess.Popen([*command, "--minutes", "10"], stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if sum(text.startswith("Epoch") for text in lines) == 5:  # in the second recipe
            process.kill()
    process.wait()
    first = tmp_path / "resnet56_multistep/seed0/metrics.json"
    before = first.read_bytes()
    assert "Epoch [3/3]" in "".join(lines) and (tmp_path / "resnet56_cosine/seed0.running/checkpoint.pt").exists()

    stopped = subprocess.run([*command, "--minutes", "0.0001"], capture_output=True, text=True, check=True).stdout
    assert "finished already" in stopped and "The 0.0001 minutes are over" in stopped

    rest = subprocess.run([*command, "--minutes", "10"], capture_output=True, text=True, check=True).stdout
    assert first.read_bytes() == before
    names = [name for name in RECIPES if name != "smoke"]
    assert [p.parent.parent.name for p in sorted(tmp_path.glob("*/seed0/weights.safetensors"))] == sorted(names)
    order = re.findall(r"^(\w+), seed 0: ", rest, flags=re.MULTILINE)
    assert order == names and order[0] == "resnet56_multistep"
    for folder in tmp_path.glob("*/seed0"):
        assert [record.epoch for record in load_history(folder)] == [1, 2, 3]
    assert subprocess.run(command, capture_output=True, text=True).stdout.count("finished already") == len(names)


def test_one_failing_recipe_does_not_end_the_queue(tiny, tmp_path, capsys, monkeypatch):
    arguments = ["train", "smoke", "--epochs", "1", "--data", "x", "--output", str(tmp_path), "--device", "cpu"]
    (tmp_path / "smoke/seed0.running").mkdir(parents=True)
    (tmp_path / "smoke/seed0.running/checkpoint.pt").write_bytes(b"damaged")
    assert main([*arguments, "--seeds", "0", "1", "--skip-finished"]) == 2
    captured = capsys.readouterr()
    assert "Not trained: The checkpoint" in captured.out and "1 of 2 runs were not trained" in captured.err
    assert (tmp_path / "smoke/seed1/metrics.json").exists()


def test_several_seeds_of_a_recipe(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(RECIPES, "smoke", replace(SMOKE, epochs=1))
    arguments = ["train", "smoke", "--data", "x", "--output", str(tmp_path), "--device", "cpu"]
    assert main([*arguments, "--seeds", "0", "1"]) == 0
    assert sorted(p.name for p in (tmp_path / "smoke").glob("[!.]*")) == ["seed0", "seed1"]
    capsys.readouterr()
    assert main([*arguments, "--seeds", "0", "1", "2", "--skip-finished"]) == 0
    out = capsys.readouterr().out
    assert out.count("finished already") == 2 and out.count("Epoch [1/1]") == 1
    assert main(["recipes", "--output", str(tmp_path)]) == 0
    assert "(3 seeds)" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["train"], ["train", "smoke", "--all"]])
def test_one_recipe_or_all(arguments, capsys):
    assert main(arguments) == 2
    assert "Name one recipe, or say --all" in capsys.readouterr().err
