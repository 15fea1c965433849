"""The networks for torch.hub, with the weights of this repository.

network = torch.hub.load("OWNER/NAME", "resnet56", pretrained=True)
transform = torch.hub.load("OWNER/NAME", "transform")
logits = network(transform("my_image.jpg"))  # (1, 100), a column per name in network.classes

From a clone: torch.hub.load(FOLDER, "resnet56", pretrained=True, source="local"). For calibrated probabilities and sets
use `cifar100.inference.load_predictor`.
"""

from pathlib import Path

import torch
from torch import nn

from cifar100.dataset.augment_image import to_input
from cifar100.dataset.cifar import FINE_NAMES
from cifar100.inference.images import ImageInput, stack_images
from cifar100.network import load_network
from cifar100.runs.find import find_run, find_usable
from model import NETWORKS

dependencies = ["torch", "numpy", "PIL", "safetensors", "pydantic", "typing_extensions"]
OUTPUT = Path(__file__).with_name("output")
# The recipes of each network: the first one with weights is used, at its lowest seed.
TRAINED = {
    "resnet56": ("resnet56_200", "resnet56_multistep"),
    "resnet18": ("resnet18_warmup_cosine",),
    "sprint": ("sprint",),
}


def resnet56(pretrained: bool = False) -> nn.Module:
    """ResNet-56 for (N, 3, 32, 32) images. pretrained: trained on CIFAR-100, in evaluation mode."""
    return make("resnet56", pretrained)


def resnet18(pretrained: bool = False) -> nn.Module:
    """ResNet-18 with a 3x3 stem for (N, 3, 32, 32) images. pretrained: trained on CIFAR-100, in evaluation mode."""
    return make("resnet18", pretrained)


def sprint(pretrained: bool = False) -> nn.Module:
    """A network for quick training, for (N, 3, 32, 32) images. pretrained: trained on CIFAR-100, in evaluation mode."""
    return make("sprint", pretrained)


def transform():
    """A function from an image (path, bytes, PIL image or array) to the networks' input, (1, 3, 32, 32) float32."""

    def apply(image: ImageInput) -> torch.Tensor:
        return to_input(torch.from_numpy(stack_images([image])))

    return apply


def make(name: str, pretrained: bool) -> nn.Module:
    """Raises UserError if there are no weights."""
    if not pretrained:
        return NETWORKS[name]()
    runs = find_usable(OUTPUT)
    folder = next((runs[recipe] for recipe in TRAINED[name] if recipe in runs), OUTPUT / TRAINED[name][0])
    network = load_network(find_run(folder))
    network.classes = FINE_NAMES
    return network
