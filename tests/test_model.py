import subprocess
import sys
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import model
from cifar100.explain.receptive_field import blocks_as_markdown, count_multiply_adds, trace_blocks
from cifar100.recipe import Recipe
from tests.conftest import ROOT, randomise_norms


@pytest.mark.parametrize(
    "name, parameters", [("resnet56", 861_620), ("resnet18", 11_220_132), ("resnet20", 278_324), ("sprint", 8_608_312)]
)
def test_number_of_parameters(name, parameters):
    assert sum(p.numel() for p in model.NETWORKS[name]().parameters()) == parameters


def test_recipes_may_name_just_the_networks_there_are():
    assert set(get_args(Recipe.__annotations__["network"])) == set(model.NETWORKS)


@pytest.mark.parametrize("name", model.NETWORKS)
def test_number_of_classes(name):
    network = model.NETWORKS[name](num_classes=7).eval()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_equals_torchvision_with_the_cifar_stem(name):
    ours = randomise_norms(model.NETWORKS[name]())
    theirs = torchvision.models.get_model(name, num_classes=100)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    # Both list their layers in the order of the calls, so the tensors pair up one by one.
    pairs = list(zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True))
    theirs.load_state_dict({name: value for (name, _), value in pairs})
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(images), theirs.eval()(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name, depth", [("resnet20", 3), ("resnet56", 9), ("resnet110", 18)])
def test_equals_an_independent_forward_pass(name, depth):
    torch.manual_seed(0)
    network = randomise_norms(model.NETWORKS[name]()).double()  # in float32 rounding alone may reach 2e-4 of a logit
    tensors = iter([v for k, v in network.state_dict().items() if "num_batches" not in k])

    def conv_norm(x, stride=1):
        weight = next(tensors)
        x = F.conv2d(x, weight, stride=stride, padding=weight.size(-1) // 2)
        gain, shift, mean, variance = (next(tensors).view(-1, 1, 1) for _ in range(4))
        return (x - mean) / (variance + 1e-5).sqrt() * gain + shift

    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    x = conv_norm(images).relu()
    for stage in range(3):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            out = conv_norm(conv_norm(x, stride).relu())
            x = (out + (conv_norm(x, stride) if stride == 2 else x)).relu()
    expected = x.mean((2, 3)) @ next(tensors).T + next(tensors)
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)


def test_convolutions_start_from_kaiming_fan_out():
    weight = model.resnet18().stages[2][0].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)


def test_stem_of_sprint_whitens_patches():
    torch.manual_seed(0)
    images = F.avg_pool2d(torch.randn(50, 3, 34, 34), 3, 1)  # neighbours agree, as in photographs
    network = model.sprint()
    network.fit_stem(images, epsilon=0.0)
    responses = network.stem(images)[:, :12].transpose(0, 1).flatten(1)
    torch.testing.assert_close(responses @ responses.T / responses.size(1), torch.eye(12), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(network.stem.weight[12:], -network.stem.weight[:12])
    assert not network.stem.weight.requires_grad and network.stem.bias.requires_grad


@pytest.mark.parametrize("pixels", [20, 24, 32])
def test_sprint_computes_what_same_padding_gives(pixels):
    """It leaves out the odd row and column that the pooling drops; the result must not show it."""
    group = randomise_norms(model.SprintGroup(24, 64, 64, (3, 1, 1)))
    x = torch.randn(2, 24, pixels - 1, pixels - 1)
    widened = F.max_pool2d(F.conv2d(x, group.conv1.weight, padding="same"), 2)
    inner = F.silu(group.norm1(widened))
    expected = F.silu(inner + group.norm3(group.conv3(F.silu(group.norm2(group.conv2(inner))))))
    torch.testing.assert_close(group(x), expected)


def test_receptive_field_and_parameters_of_resnet18_block_by_block():
    blocks = trace_blocks(model.resnet18())
    assert [b.receptive_field for b in blocks] == [3, 7, 11, 17, 25, 37, 53, 77, 109, 109]
    assert [b.parameters for b in blocks] == [
        *(1_856, 73_984, 73_984, 230_144, 295_424, 919_040, 1_180_672, 3_673_088, 4_720_640),
        51_300,
    ]
    assert [b.out_size for b in blocks] == [32, 32, 32, 16, 16, 8, 8, 4, 4, 1]


@pytest.mark.parametrize("name", model.NETWORKS)
def test_receptive_field_equals_the_footprint_of_the_input_gradient(name):
    """With positive weights no path cancels another, so that every pixel in the field shows."""
    network = model.NETWORKS[name]().double().eval()
    *_, last, _ = trace_blocks(network)
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            module.weight.data.fill_(1 / module.weight[0].numel())
        if isinstance(module, model.SprintGroup):
            module.pool = nn.AvgPool2d(2)  # the maximum would pass the gradient to one pixel alone
    for shape in ((last.receptive_field + 4 * last.jump, 32), (32, last.receptive_field + 4 * last.jump)):
        images = torch.ones(1, 3, *shape, dtype=torch.double, requires_grad=True)  # a strip, to save time
        stem = network.stem(images)
        features = network.stages(F.silu(stem) if name == "sprint" else stem)
        row, column = features.size(2) // 2, features.size(3) // 2
        (gradient,) = torch.autograd.grad(features[0, :, row, column].sum(), images)
        axis = 2 if shape[0] > 32 else 3
        seen = (gradient != 0).sum((0, 1, 5 - axis)).nonzero()
        assert seen.max() - seen.min() + 1 == last.receptive_field


def test_blocks_as_markdown():
    table = blocks_as_markdown(trace_blocks(model.resnet18())).splitlines()
    assert len(table) == 13 and "| stage 4, block 2 | 512 -> 512 | 3x3/1/1, 3x3/1/1 |" in table[10]
    assert table[10].endswith("| 4,720,640 | 8 | 109 |") and "| 11,220,132 |" in table[12]
    assert ["shortcut 1x1/2/0" in row for row in table[3:11]] == [False, False, True, False, True, False, True, False]


def test_multiply_adds():
    assert count_multiply_adds(model.sprint()) == 159_636_768
    stem, head = 32 * 32 * 16 * 27, 64 * 100
    stages = 6 * 32 * 32 * 16 * 16 * 9 + (8 * 8 * 4) * 32 * 9 * (16 + 5 * 32) + 8 * 8 * 64 * 9 * (32 + 5 * 64)
    shortcuts = 16 * 16 * 16 * 32 + 8 * 8 * 32 * 64
    assert count_multiply_adds(model.resnet20()) == stem + stages + shortcuts + head


def test_script_prints_a_table_or_one_network():
    run = subprocess.run([sys.executable, "model.py"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0 and all(name in run.stdout for name in model.NETWORKS)
    assert "11,220,132" in run.stdout and "Total params: 861,620" in run.stdout
    run = subprocess.run([sys.executable, "model.py", "resnet20"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0 and "Total params: 278,324" in run.stdout
    run = subprocess.run([sys.executable, "model.py", "resnet19"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 2 and "resnet18" in run.stderr and "Traceback" not in run.stderr
