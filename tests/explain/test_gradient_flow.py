import numpy as np
import torch

from cifar100.explain.gradient_flow import gradient_norms, without_shortcuts
from cifar100.figures import plot_block, plot_gradient_norms
from model import resnet20, resnet56


def draw_batch(count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, 32, 32, 3), np.uint8), generator.integers(0, 100, count)


def test_a_block_without_its_shortcut_is_its_residual_alone():
    network = resnet20().eval()
    block, plain = network.stages[1][1], without_shortcuts(network).stages[1][1]
    x = torch.rand(2, 32, 16, 16)
    residual = block.norm2(block.conv2(torch.relu(block.norm1(block.conv1(x)))))
    assert torch.allclose(plain(x), torch.relu(residual)) and torch.allclose(block(x), torch.relu(residual + x))


def test_without_shortcuts_the_gradient_grows_on_its_way_back():
    torch.manual_seed(0)
    network = resnet56()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kept, plain = (gradient_norms(each, *draw_batch()) for each in (network, without_shortcuts(network)))
    assert len(kept) == len(plain) == 55
    assert plain[0] / plain[-1] > 10 * kept[0] / kept[-1]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_figures_show_the_norms_and_both_kinds_of_block():
    norms = {"with shortcuts": np.array([4.0, 2.0]), "without": np.array([300.0, 1.0])}
    fig = plot_gradient_norms(norms)
    assert fig.alt == "Back to the input the gradient grows 300-fold without, 2-fold with shortcuts"
    assert [list(line.get_ydata()) for line in fig.axes[0].lines] == [list(values) for values in norms.values()]
    words = [text.get_text() for ax in plot_block().axes for text in ax.texts]
    assert words.count("3x3 convolution") == 3 and any(word.startswith("1x1 convolution") for word in words)
