import json
import os
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import ours, peers, plain, processes
from benchmarks.__main__ import main
from cifar100.errors import UserError
from cifar100.explain.receptive_field import count_multiply_adds
from cifar100.recipes import RECIPES, find_recipe
from cifar100.training import speed as parts
from cifar100.training import trainer
from model import NETWORKS
from tests.conftest import ROOT

CPU = torch.device("cpu")


class Here:
    """Stands for a process of its own, and is none."""

    def submit(self, function, *arguments) -> Future:
        future = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        pass


@pytest.mark.parametrize("name", plain.NETWORKS)
def test_the_plain_networks_are_ours(name):
    both = [builder[name]() for builder in (plain.NETWORKS, NETWORKS)]
    sizes = [sorted(tuple(p.shape) for p in network.parameters()) for network in both]
    assert sizes[0] == sizes[1]
    assert count_multiply_adds(both[0]) == count_multiply_adds(both[1])


def test_the_plain_cutout():
    picture, erase = torch.ones(3, 32, 32), plain.Cutout(16, 1.0)
    holes = torch.stack([erase(picture) for _ in range(200)]) == 0
    areas = holes.sum((2, 3))
    assert (areas == areas[:, :1]).all()  # all colours alike
    assert areas.max() == 256 and areas.min() >= 64  # a corner of it at least
    assert plain.Cutout(16, 0.0)(picture).all()


def test_only_our_side_changes_how_memory_is_kept(monkeypatch):
    kept = []
    monkeypatch.setattr(trainer, "keep_freed_memory", lambda: kept.append(True))
    recipe = replace(RECIPES["resnet56_multistep"], batch_size=2)
    assert next(plain.training_steps(recipe, CPU)) == 2 and not kept
    assert next(ours.training_steps(recipe, CPU, "off", "float32")) == 2 and kept


def test_figures_are_medians_of_turns():
    turns = {"plain": [1.0, 2.0, 30.0], "plain, workers": [3.0, 4.0, 5.0], "ours": [100.0, 8.0, 6.0]}
    figures = peers.summarise(turns, gflop=2.0, floor=dict.fromkeys(turns, 20.0))
    assert figures["images_per_second"] == {"plain": 2.0, "plain, workers": 4.0, "ours": 8.0}
    assert figures["ratio"] == {"ours": 2.0}  # the better plain one counts
    assert figures["share_of_floor"]["ours"] == 0.8
    assert figures["turns"] == turns


@pytest.fixture
def small(monkeypatch):
    """Measure tiny work in this process."""
    monkeypatch.setattr(processes, "start_process", Here)
    monkeypatch.setattr(parts, "SIZES", {"train": 300, "test": 100})
    for module in (plain, ours):
        monkeypatch.setattr(module, "draw_noise", lambda count=300: parts.draw_noise(min(count, 300)))
    for name, value in {"MATRIX": 16, "EVALUATION_BATCH": 4, "count_cores": lambda: 1}.items():
        monkeypatch.setattr(peers, name, value)
    for name in peers.COMPARED:
        monkeypatch.setitem(RECIPES, name, replace(RECIPES[name], batch_size=4))


def test_peers(small, tmp_path, capsys, monkeypatch):
    measure = peers.measure_peers
    monkeypatch.setattr(command, "measure_peers", lambda *args, say: measure(*args, rounds=1, seconds=0.01, say=say))
    arguments = ["peers", "--device", "cpu", "--precision", "bfloat16", "--write", "--output", tmp_path]
    assert main([str(a) for a in arguments]) == 0
    table = capsys.readouterr().out
    figures = json.loads((tmp_path / "bench/peers.json").read_text())
    assert {"hardware", "torch", "commit", "precision", "floor_gflop_per_second"} < set(figures)
    assert figures["floor_gflop_per_second"].keys() == {"float32", "bfloat16"}
    assert {name: n["parameters"] for name, n in figures["networks"].items()} == {
        "resnet56": 861_620,
        "resnet18": 11_220_132,
    }
    for network in figures["networks"].values():
        rates = network["training_step"]["images_per_second"]
        assert set(rates) == {"plain", "ours", "ours, float32"}
        assert network["training_step"]["ratio"]["ours, float32"] == rates["ours, float32"] / rates["plain"]
        share = 3 * network["gflop_per_image"] * rates["ours"] / figures["floor_gflop_per_second"]["bfloat16"]
        assert network["training_step"]["share_of_floor"]["ours"] == pytest.approx(share)
    markdown = (tmp_path / "bench/peers.md").read_text()
    assert markdown == peers.render_peers(figures)
    for row in peers.list_rows(figures):
        assert row.part in table and f"| {row.part} | {peers.format_rate(row.plain)} |" in markdown
    assert len(peers.list_rows(figures)) == 7
    assert markdown.count("\n|") == 8 and figures["hardware"] in markdown


def test_rates_have_three_digits():
    assert [peers.format_rate(rate) for rate in (6.127, 61.27, 1234.5, 98765.0)] == ["6.13", "61.3", "1,230", "98,800"]


@pytest.mark.parametrize(
    "arguments", [["layers"], ["peers", "smoke"], ["serving", "a", "--compile", "off"], ["growth"]]
)
def test_a_measurement_takes_its_own_options_alone(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2 and "usage: python -m benchmarks" in capsys.readouterr().err


def test_what_is_not_there_gets_a_sentence(capsys):
    assert main(["layers", "smoek"]) == 2
    assert "Did you mean smoke?" in capsys.readouterr().err


@pytest.mark.parametrize("name", command.KINDS)
def test_the_kept_page_is_rendered_from_the_kept_figures(name):
    path = ROOT / "output/bench" / f"{name}.json"
    assert path.with_suffix(".md").read_text() == command.KINDS[name].render(json.loads(path.read_text()))


def test_a_process_of_its_own_says_what_went_wrong():
    with processes.start_process() as process:
        with pytest.raises(UserError, match="smoke"):
            processes.run_in(process, find_recipe, "smoek")
        assert processes.run_in(process, os.getpid) != os.getpid()
        with pytest.raises(UserError, match="free some memory"):
            processes.run_in(process, os._exit, 9)


def test_a_gpu_that_is_too_small_gets_advice(monkeypatch):
    small = trainer.make_trainer(RECIPES["smoke"], parts.draw_noise(200), CPU, precision="float32")

    def out_of_memory(inputs, targets):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(small.loss_step, "forward", out_of_memory)
    with pytest.raises(UserError, match="too little memory for batches of 128: say --batch-size 64 --lr 0.025,"):
        trainer.train_one_epoch(small, 1)


def test_noise_is_of_the_asked_size():
    noise = parts.draw_noise(7)
    assert noise.images.shape == (7, 32, 32, 3) and noise.images.dtype == np.uint8 and noise.fine.max() < 100
