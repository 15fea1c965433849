import contextlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import model
from cifar100.dataset.augment_image import to_input
from cifar100.errors import UserError
from cifar100.evaluation.logits import predict_logits
from cifar100.explain.grad_cam import grad_cam, overlay, stage_layers
from tests.conftest import randomise_norms

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
TARGETS = np.array([3, 99, 0])


def make_network(name: str = "resnet20") -> nn.Module:
    """New weights, and norms that are not the identity; in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return randomise_norms(model.NETWORKS[name]())


def features_of(network: nn.Module, images: np.ndarray) -> torch.Tensor:
    """What the last stage gives: (N, C, h, w)."""
    stem = network.stem(to_input(torch.from_numpy(images)))
    return network.stages(F.silu(stem) if isinstance(network, model.SprintNet) else stem)


def divide_by_maximum(maps: torch.Tensor) -> torch.Tensor:
    return maps.relu() / maps.relu().amax((1, 2), keepdim=True)


@pytest.mark.parametrize("name, side", [("resnet20", 8), ("sprint", 3)])
@torch.no_grad()
def test_on_the_last_stage_equals_classic_cam(name, side):
    """SprintNet too: the gradients of a mean and of a maximum both sum to 1 over the places."""
    network = make_network(name)
    every_class = torch.einsum("nchw,kc->nkhw", features_of(network, IMAGES), network.head.weight)
    targets = every_class.mean((2, 3)).abs().argmin(1)  # so that the ReLU has half of the map to cut off
    expected = divide_by_maximum(every_class[range(3), targets])
    maps = grad_cam(network, IMAGES, stage_layers(network)[0], targets.numpy())
    assert maps.shape == (3, side, side) and maps.dtype == np.float32
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_equals_grad_cam_written_out_on_a_layer_that_is_overwritten_in_place():
    network = make_network()
    activations = network.stem[1](network.stem[0](to_input(torch.from_numpy(IMAGES)))).detach().requires_grad_()
    logits = network.head(network.stages(activations.relu()).mean((2, 3)))
    (gradients,) = torch.autograd.grad(logits[range(3), TARGETS].sum(), activations)
    expected = divide_by_maximum((gradients.mean((2, 3), keepdim=True) * activations).sum(1))
    np.testing.assert_allclose(grad_cam(network, IMAGES, "stem.1", TARGETS), expected.detach(), atol=1e-5)


def test_explains_the_predicted_class():
    network = make_network()
    predicted = predict_logits(network, torch.from_numpy(IMAGES)).argmax(1).numpy()
    maps = grad_cam(network, IMAGES, "stages.1")
    np.testing.assert_array_equal(maps, grad_cam(network, IMAGES, "stages.1", predicted))


def test_a_map_spans_up_to_1_and_one_without_evidence_stays_zero():
    network = make_network()
    with torch.no_grad():
        network.head.weight[7] = -1  # all features are positive or zero, so nothing speaks for class 7
    maps = grad_cam(network, IMAGES, "stages.2", [7, 3, 7])
    assert maps.min() == 0 and maps.max((1, 2)).tolist() == [0, 1, 0]


def describe(network: nn.Module) -> list:
    """Everything about a network that a call could leave behind, comparable with ==."""
    hooks = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    modules = [(m.training, *(list(getattr(m, kind)) for kind in hooks)) for m in network.modules()]
    gradients = [(p.requires_grad, None if p.grad is None else p.grad.tolist()) for p in network.parameters()]
    return [modules, gradients, [value.tolist() for value in network.state_dict().values()]]


@pytest.mark.parametrize("fails", [False, True])
def test_leaves_the_network_as_it_was(fails):
    """In training but for one stage, partly frozen, and with gradients in some parameters."""
    network = make_network().train()
    network.stages[0].eval().requires_grad_(False)
    for parameter in network.stages[1].parameters():
        parameter.grad = torch.randn_like(parameter)

    def fail(*_):
        raise IndexError("on purpose")  # which the library's own `with` swallows

    if fails:
        network.stages[2].register_forward_hook(fail)
    before = describe(network)
    with pytest.raises(IndexError, match="on purpose") if fails else contextlib.nullcontext():
        maps = grad_cam(network, IMAGES, "stages.1", TARGETS)
        np.testing.assert_array_equal(maps, grad_cam(make_network(), IMAGES, "stages.1", TARGETS))
    assert describe(network) == before


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_without_gradients_and_on_frozen_weights(context):
    network = make_network()
    expected = grad_cam(network, IMAGES, "stages.1", TARGETS)
    network.requires_grad_(False)
    with context():
        maps = grad_cam(network, IMAGES, "stages.1", TARGETS)
    np.testing.assert_array_equal(maps, expected)


@pytest.mark.parametrize("layer", ["stages.9", "head"])
def test_a_wrong_layer_is_told_which_there_are(layer):
    with pytest.raises(UserError, match=r"choose one of stem, stages\.0, stages\.1, stages\.2, or"):
        grad_cam(make_network(), IMAGES, layer)


def test_wrong_targets_and_images_are_refused():
    network = make_network()
    for targets in ([0, 1, 100], [-1, 0, 1], [0, 1]):
        with pytest.raises(UserError, match="3 targets, one per image, each a class from 0 to 99"):
            grad_cam(network, IMAGES, "stages.2", targets)
    for images in (IMAGES[:0], IMAGES[0], IMAGES / 255):
        with pytest.raises(UserError, match=r"\(N, 32, 32, 3\) uint8, one or more"):
            grad_cam(network, images, "stages.2")


def test_overlay_is_brightest_where_the_heatmap_is():
    heatmap = np.zeros((4, 4), np.float32)
    heatmap[0, 3] = 1  # the upper right corner
    shown = overlay(np.full((32, 32, 3), 100, np.uint8), heatmap, pixels=200)
    brightness = shown.sum(2, dtype=int)
    row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    assert row < 50 and column >= 150
    assert (shown[100:, :100] == [50, 50, 52]).all()  # half the image's grey, half the colours' black
