"""Convolutions by products compute what convolutions compute, and are used only where they were chosen."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from cifar100.runs.checkpoint import load_checkpoint
from torch import nn

from cifar100.network import make_network
from cifar100.recipes import RECIPES
from cifar100.train import fit
from cifar100.training import small_convolution
from cifar100.training.small_convolution import TapConv2d, TapProducts, choose_products, use_products

SHAPES = [(3, 1, 1, 4), (3, 2, 1, 8), (2, 1, 0, 7), (3, 1, 1, 3), (1, 2, 0, 5)]  # kernel, stride, padding, side


@pytest.mark.parametrize("kernel, stride, padding, side", SHAPES)
def test_equals_the_convolution_with_both_gradients(kernel, stride, padding, side):
    torch.manual_seed(0)
    shapes = ((2, 3, side, side), (5, 3, kernel, kernel))
    x, weight = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    expected, computed = F.conv2d(x, weight, None, stride, padding), TapProducts.apply(x, weight, stride, padding)
    assert computed.shape == expected.shape and torch.allclose(computed, expected, rtol=0, atol=1e-10)
    direction = torch.randn_like(expected)
    own, other = (torch.autograd.grad(output, (x, weight), direction) for output in (computed, expected))
    assert all(torch.allclose(mine, right, rtol=0, atol=1e-10) for mine, right in zip(own, other))
    assert torch.autograd.gradcheck(lambda *both: TapProducts.apply(*both, stride, padding), (x, weight))


def test_a_frozen_side_gets_no_gradient():
    x, weight = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 3, 3, requires_grad=True)
    TapProducts.apply(x, weight, 1, 1).sum().backward()
    assert x.grad is None and weight.grad is not None


def test_only_the_chosen_layers_on_the_chosen_maps_and_in_training_change():
    network = make_network(RECIPES["resnet18_onecycle"]).train()
    before = dict(network.state_dict())
    use_products(network, {"stages.3.1.conv2": [4]})
    (chosen,) = [name for name, module in network.named_modules() if isinstance(module, TapConv2d)]
    assert chosen == "stages.3.1.conv2" and network.state_dict().keys() == before.keys()
    layer = network.get_submodule(chosen)
    nodes = {side: layer(torch.randn(1, 512, side, side)).grad_fn.name() for side in (4, 5)}
    assert "TapProducts" in nodes[4] and "Convolution" in nodes[5]
    assert "Convolution" in layer.eval()(torch.randn(1, 512, 4, 4)).grad_fn.name()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.train()(torch.randn(1, 512, 4, 4)).dtype == torch.bfloat16


def test_candidates_have_small_maps_and_many_channels(monkeypatch):
    monkeypatch.setattr(small_convolution, "are_quicker", lambda *layer: True)
    resnet18 = make_network(RECIPES["resnet18_onecycle"])
    assert choose_products(resnet18, 128, [32], torch.float32) == {
        "stages.3.0.conv1": [8],
        "stages.3.0.conv2": [4],
        "stages.3.1.conv1": [4],
        "stages.3.1.conv2": [4],
    }
    sprint = make_network(RECIPES["sprint"])
    assert choose_products(sprint, 1024, [24, 32], torch.float32)["stages.2.conv2"] == [2, 3]
    assert choose_products(make_network(RECIPES["resnet56_multistep"]), 128, [32], torch.float32) == {}
    monkeypatch.setattr(small_convolution, "are_quicker", lambda *layer: False)
    assert choose_products(resnet18, 128, [32], torch.float32) == {}


def test_a_run_goes_on_with_the_choice_of_its_checkpoint(tiny, tmp_path, monkeypatch):
    """Measured anew, another choice might come out, and other bits."""
    recipe = replace(RECIPES["sprint"], epochs=2, batch_size=100)
    monkeypatch.setattr(small_convolution, "are_quicker", lambda *layer: True)
    said = []
    first = fit(recipe, data="elsewhere", output=tmp_path, device="cpu", precision="float32", say=said.append)
    next(first)
    first.close()
    assert [line for line in said if "matrix products" in line and "stages.2.conv3" in line]
    kept = load_checkpoint(tmp_path / "sprint/seed0.running/checkpoint.pt", recipe)["products"]
    assert kept["stages.2.conv3"]
    monkeypatch.setattr(small_convolution, "are_quicker", lambda *layer: pytest.fail("it is not measured again"))
    *_, last = fit(recipe, data="elsewhere", output=tmp_path, device="cpu", precision="float32", resume=True)
    assert last.epoch == 2
    assert isinstance(make_network(recipe).get_submodule("stages.2.conv3"), nn.Conv2d)
