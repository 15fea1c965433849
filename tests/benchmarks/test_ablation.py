from dataclasses import replace

import pytest
import torch

from benchmarks import ablation
from benchmarks.ablation import VARIANTS, measure_step, render_ablation, run_ablation, run_worker
from cifar100.recipes import RECIPES

SHORT = replace(RECIPES["sprint"], batch_size=8)


@pytest.fixture
def made(monkeypatch):
    """The trainers that are measured."""
    trainers = []
    make = ablation.make_trainer
    monkeypatch.setattr(ablation, "make_trainer", lambda *a, **k: trainers.append(make(*a, **k)) or trainers[-1])
    monkeypatch.setattr(ablation.training, "make_inputs", ablation.training.make_inputs)
    monkeypatch.setattr(ablation.training, "keep_freed_memory", ablation.training.keep_freed_memory)
    return trainers


@pytest.mark.parametrize("name", ["plain", "float32", "muon", "nchw", "memory"])
def test_a_variant_measures_what_it_says(name, made, monkeypatch):
    kept = []
    monkeypatch.setattr(ablation.training, "keep_freed_memory", lambda: kept.append(True))
    assert measure_step(SHORT, VARIANTS[name], 20, "cpu", steps=1) > 0
    (trainer,) = made
    filters = trainer.network.stages[1].conv1.weight
    assert filters.is_contiguous(memory_format=torch.channels_last) == (name != "nchw")
    assert (trainer.optimizers[1].dtype == torch.float32) == (
        name in ("float32", "muon") or trainer.precision != "bfloat16"
    )
    assert (trainer.precision == "float32") or name != "float32"
    assert bool(kept) == (name != "memory")


def test_a_worker_answers_and_one_that_fails_gives_none():
    assert run_worker(replace(RECIPES["smoke"], batch_size=8), "plain", 32, "cpu") > 0
    assert run_worker(replace(RECIPES["smoke"], batch_size=8), "plain", 32, "no such device") is None


def test_the_figures_are_those_of_the_workers_and_the_table_compares_with_the_first(monkeypatch):
    times = {"plain": 2.0, "float32": 4.0}
    monkeypatch.setattr(
        ablation, "run_worker", lambda recipe, key, pixels, device: times.get(key) and times[key] * pixels / 32
    )
    said = []
    figures = run_ablation(RECIPES["sprint"], "cpu", said.append)
    assert figures["seconds"]["as it trains"] == 2.0 and figures["sizes"] == {"20": 1.25, "24": 1.5, "32": 2.0}
    assert len(said) == len(VARIANTS) and "compiled by inductor: does not run here" in said
    table = render_ablation(figures)
    assert "| as it trains | 2.00 | 512 | 1.00 |" in table
    assert "| float32 in place of the processor's fast precision | 4.00 | 256 | 2.00 |" in table
    assert (
        "| compiled by inductor | does not run here | - | - |" in table
        and "1.25 s at 20, 1.50 s at 24, 2.00 s at 32" in table
    )
