"""python tests/parallel/normless.py: the command line on the tiny set, with a network whose images do not meet."""

import sys

from torch import nn

from model import resnet20
from tests.conftest import tiny_split


def normless(num_classes: int = 100, dropout: float = 0.0) -> nn.Module:
    """ResNet-20 that normalises groups of channels within each image, not channels within a batch."""
    network = resnet20(num_classes, dropout)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.GroupNorm(4, child.num_features))
    return network


if __name__ == "__main__":
    import cifar100.dataset.cifar
    import model
    from cifar100.__main__ import main

    cifar100.dataset.cifar.load_split = tiny_split
    model.NETWORKS["resnet20"] = normless
    sys.exit(main(sys.argv[1:]))
