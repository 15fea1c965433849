"""Both sides of the comparison do the same work, and its table says what was measured."""

import os
import re
from dataclasses import replace

import pytest
import torch

from benchmarks import ours, peers, plain
from benchmarks.__main__ import main
from benchmarks.plain import draw_noise
from benchmarks.processes import Sides
from cifar100.errors import UserError
from cifar100.explain.receptive_field import count_multiply_adds
from cifar100.recipes import RECIPES, find_recipe
from model import NETWORKS

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", plain.NETWORKS)
def test_the_plain_networks_are_ours(name):
    both = [builder[name]() for builder in (plain.NETWORKS, NETWORKS)]
    sizes = [sorted(tuple(p.shape) for p in network.parameters()) for network in both]
    assert sizes[0] == sizes[1]
    assert count_multiply_adds(both[0]) == count_multiply_adds(both[1])


def test_both_pipelines_give_batches_of_the_recipe(monkeypatch):
    recipe = replace(RECIPES[peers.PIPELINE], batch_size=8)
    for module in (plain, ours):
        monkeypatch.setattr(module, "draw_noise", lambda count=20: draw_noise(20))
    rates = [plain.augmented_batches(recipe, CPU, 0), ours.augmented_batches(recipe, CPU)]
    assert [[next(rate) for _ in range(2)] for rate in rates] == [[8, 8], [8, 8]]


def test_peers(monkeypatch, capsys):
    """From the command line, with turns of one small batch; all in this process, since four take long to start."""
    monkeypatch.setattr(Sides, "run_in", lambda self, side, function, *arguments: function(*arguments))
    for module in (plain, ours):
        monkeypatch.setattr(module, "draw_noise", lambda count=20: draw_noise(20))
    for name in peers.COMPARED:
        monkeypatch.setitem(RECIPES, name, replace(RECIPES[name], batch_size=2))
    monkeypatch.setattr(peers, "COMPARED", peers.COMPARED[:1])
    measure = peers.measure_peers
    monkeypatch.setattr("benchmarks.__main__.measure_peers", lambda *o: measure(*o, rounds=1, seconds=0.01))
    monkeypatch.setattr(peers, "EVALUATION_BATCH", 2)
    monkeypatch.setattr(peers, "count_cores", lambda: 0)
    assert main(["peers", "--device", "cpu", "--precision", "bfloat16"]) == 0
    *rows, empty, conditions = capsys.readouterr().out.splitlines()[2:]
    assert [re.match(r"\| ([\w ,]+) \|", row)[1] for row in rows] == [
        *("resnet56, training step, bfloat16", "resnet56, training step, float32", "resnet56, evaluation, float32"),
        "augmentation",
    ]
    assert all(re.search(r"\| [\d.,]+ \| [\d.,]+ \| \*\*[\d.]+\*\* \|$", row) for row in rows)
    assert "medians of 1 rounds" in conditions


def test_rates_have_three_digits():
    assert [peers.format_rate(rate) for rate in (6.127, 61.27, 1234.5, 98765.0)] == ["6.13", "61.3", "1,230", "98,800"]


def test_a_process_of_its_own_says_what_went_wrong():
    with Sides(("one",), CPU, 1, 0.01) as sides:
        with pytest.raises(UserError, match="smoek"):
            sides.run_in("one", find_recipe, "smoek")
        assert sides.run_in("one", os.getpid) != os.getpid()
        with pytest.raises(UserError, match="free some memory"):
            sides.run_in("one", os._exit, 9)
