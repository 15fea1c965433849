import numpy as np
import torch

from cifar100 import figures
from cifar100.explain.gradient_flow import gradient_norms, without_norms, without_shortcuts
from model import resnet20

IMAGES, LABELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8), np.array([3, 99, 0, 50])


def test_a_block_without_its_shortcut_is_its_residual_alone():
    network = resnet20().eval()
    block, plain = network.stages[1][1], without_shortcuts(network).stages[1][1]
    x = torch.rand(2, 32, 16, 16)
    residual = block.norm2(block.conv2(torch.relu(block.norm1(block.conv1(x)))))
    assert torch.allclose(plain(x), torch.relu(residual)) and torch.allclose(block(x), torch.relu(residual + x))


def test_a_block_without_norms_is_its_convolutions_alone():
    network = resnet20().eval()
    block, bare = network.stages[1][1], without_norms(network).stages[1][1]
    x = torch.rand(2, 32, 16, 16)
    assert torch.allclose(bare(x), torch.relu(block.conv2(torch.relu(block.conv1(x))) + x), atol=1e-5)


def test_the_norms_are_relative_and_grow_without_shortcuts():
    torch.manual_seed(0)
    network = resnet20()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kept, plain = (gradient_norms(each, IMAGES, LABELS) for each in (network, without_shortcuts(network)))
    assert len(kept) == len(plain) == 19
    assert plain[0] / plain[-1] > 2 * kept[0] / kept[-1]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with torch.no_grad():  # a batch norm follows: filters of twice the size have half the gradient
        network.stages[0][0].conv1.weight *= 2
    np.testing.assert_allclose(gradient_norms(network, IMAGES, LABELS)[1], kept[1] / 4, rtol=1e-3)


def test_figures_of_the_network_say_what_they_show():
    norms = {"with shortcuts": np.array([4.0, 2.0]), "without": np.array([300.0, 1.0]), "bare": np.array([np.inf, 0])}
    fig = figures.plot_gradient_norms(norms)
    assert fig.alt == "Largest over smallest relative change of a layer: 2-fold with shortcuts, 300-fold without"
    kept, plain, bare = (line.get_ydata() for line in fig.axes[0].lines)
    assert kept.tolist() == [4, 2] and plain.tolist() == [300, 1] and np.isnan(bare).all()
