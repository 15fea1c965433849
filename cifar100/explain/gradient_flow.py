"""The gradient of each layer: with shortcuts, without them, and without batch norm."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100.dataset.augment_image import to_input


class Nothing(nn.Module):
    """Replaces a shortcut: y = F(x) + 0."""

    def forward(self, x: Tensor) -> float:
        return 0.0


def without_shortcuts(network: nn.Module) -> nn.Module:
    """A copy of a ResNet with the same weights whose blocks compute y = F(x) instead of y = F(x) + x."""
    plain = copy.deepcopy(network)
    for block in [module for module in plain.modules() if hasattr(module, "shortcut")]:
        block.shortcut = Nothing()
    return plain


def without_norms(network: nn.Module) -> nn.Module:
    """A copy of a network with the same filters, without batch norms."""
    bare = copy.deepcopy(network)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            bare.set_submodule(name, nn.Identity())
    return bare


def gradient_norms(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The norm of the gradient of each 3x3 convolution's filters divided by the norm of the filters, from input to
    output: (L,). It is the relative change of a layer in a step.

    One batch in training mode, as in the first training step; the network is unchanged. images: (N, 32, 32, 3) uint8;
    labels: (N,). Why identity shortcuts preserve gradients: y = x + F(x) has the derivative 1 + F'(x) (He et al. 2016,
    "Identity Mappings in Deep Residual Networks", arXiv:1603.05027, section 2).
    """
    network = copy.deepcopy(network).train()
    logits = network(to_input(torch.tensor(images)))
    F.cross_entropy(logits, torch.tensor(labels)).backward()
    filters = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    return np.array([(weight.grad.norm() / weight.norm()).item() for weight in filters])
