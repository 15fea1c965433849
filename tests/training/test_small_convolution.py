"""Convolutions by matrix products equal those of PyTorch, and are used by a fixed rule."""

import pytest
import torch
import torch.nn.functional as F

from cifar100.network import make_network
from cifar100.recipes import RECIPES
from cifar100.training.small_convolution import TapConv2d, TapProducts, use_products

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


def test_wide_layers_with_a_small_output_take_products_in_training():
    network = make_network(RECIPES["resnet18_onecycle"]).train()
    names = network.state_dict().keys()
    use_products(network)
    wide = [name for name, module in network.named_modules() if isinstance(module, TapConv2d)]
    assert set(wide) >= {"stages.3.0.conv1", "stages.3.1.conv2", "stages.2.1.conv1"}
    assert not any("stages.0" in name or "stages.1" in name or "shortcut" in name for name in wide)
    assert network.state_dict().keys() == names
    layer = network.get_submodule("stages.3.1.conv2")
    with torch.autocast("cpu", torch.bfloat16):
        nodes = {side: layer(torch.randn(1, 512, side, side)).grad_fn.name() for side in (4, 5)}
        assert "TapProducts" in nodes[4] and "Convolution" in nodes[5]
        assert layer(torch.randn(1, 512, 4, 4)).dtype == torch.bfloat16
    assert "Convolution" in layer.eval()(torch.randn(1, 512, 4, 4)).grad_fn.name()


def test_a_narrow_network_has_no_such_layer():
    network = make_network(RECIPES["resnet56_multistep"])
    use_products(network)
    assert not any(isinstance(module, TapConv2d) for module in network.modules())
