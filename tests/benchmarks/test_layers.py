from dataclasses import replace

import pytest

from benchmarks import layers
from benchmarks.layers import LayerCost, format_layers, measure_layers, render_layers, run_layers
from cifar100.explain.receptive_field import count_multiply_adds
from cifar100.recipes import RECIPES
from cifar100.runs.weights import make_network


@pytest.fixture(scope="module")
def costs() -> list[LayerCost]:
    return measure_layers(replace(RECIPES["sprint"], batch_size=2), rounds=1, precision="float32")


def test_every_layer_that_multiplies_is_there_in_order(costs):
    names = [cost.name for cost in costs]
    assert names[0] == "stem" and names[-1] == "head" and len(names) == 11
    assert costs[1].shape == "24x32x32 -> 64x30x30, 3x3" and costs[-1].shape == "768 -> 100"


def test_the_multiply_adds_add_up_to_the_networks(costs):
    assert sum(cost.multiply_adds for cost in costs) == count_multiply_adds(make_network(RECIPES["sprint"]))


def test_a_frozen_layer_has_no_backward_pass(costs):
    assert costs[0].backward_seconds == 0 and costs[0].forward_seconds > 0
    assert sum(cost.backward_seconds for cost in costs[1:]) > 0


def test_operations_are_counted_for_the_passes_that_are_made(monkeypatch):
    """With a clock that gives a second to each call: a forward pass takes one, and both passes another."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(layers.time, "perf_counter", lambda: next(ticks))
    stem, first, second = measure_layers(replace(RECIPES["sprint"], batch_size=2), rounds=1, precision="float32")[:3]
    for cost, passes in ((stem, 1), (first, 2), (second, 3)):  # the stem is frozen: no gradient to what follows it
        assert cost.gflops == pytest.approx(2 * cost.multiply_adds * 2 * passes / 1e9)


def test_the_tables_have_a_line_a_layer_and_the_share_of_the_best():
    figures = run_layers(replace(RECIPES["smoke"], batch_size=2), "cpu")
    layer, best = figures["layers"][3], figures["matrix_product_gflops"]
    assert best > 0
    for table, lines in ((format_layers(figures), 2), (render_layers(figures), 4)):
        assert len(table.splitlines()) == len(figures["layers"]) + lines
        assert f"{layer['gflops'] / best:.0%}" in table and f"{layer['multiply_adds']:,}" in table
        assert f"{best:.0f} GFLOP/s" in table
