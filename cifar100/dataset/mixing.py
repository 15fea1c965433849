"""CutMix and mixup: two pictures of a batch, and their labels, made one."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from cifar100.dataset.cifar import FINE_NAMES
from cifar100.recipe import Augmentation


def mix(inputs: Tensor, labels: Tensor, augmentation: Augmentation) -> tuple[Tensor, Tensor]:
    """Mix the images of a batch by CutMix or mixup, where the augmentation says so.

    Returns the inputs and the targets: (N,) labels where the recipe never mixes, else the
    (N, classes) share of each label, one kind for all batches of a run.
    """
    kinds = ((v2.CutMix, augmentation.cutmix_alpha), (v2.MixUp, augmentation.mixup_alpha))
    mixers = [kind(alpha=alpha, num_classes=len(FINE_NAMES)) for kind, alpha in kinds if alpha]
    if not mixers:
        return inputs, labels
    if torch.rand(()) >= augmentation.mix_probability:
        return inputs, F.one_hot(labels, len(FINE_NAMES)).to(inputs.dtype)
    return mixers[int(torch.randint(len(mixers), ()))](inputs, labels)
