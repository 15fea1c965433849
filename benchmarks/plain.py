"""The baseline: training step, evaluation and input pipeline as in typical tutorials.

Blocks of torchvision, float32, NCHW, PIL images; only the settings come from the recipes. All functions, except for the
networks, are endless generators of the number of images that they have processed.
"""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms
from torchvision.models.resnet import BasicBlock

from cifar100.dataset.cifar import COARSE_OF_FINE, MEAN, SIZES, STD, Images
from cifar100.recipe import Recipe


def make_resnet18(num_classes: int = 100) -> nn.Module:
    """The ResNet-18 of torchvision with the two usual changes for 32x32 images."""
    network = models.resnet18(num_classes=num_classes)
    network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    network.maxpool = nn.Identity()
    return network


def make_resnet56(num_classes: int = 100) -> nn.Module:
    """Three stages of nine blocks of torchvision, whose own ResNets have four stages."""

    def make_stage(inputs: int, channels: int, stride: int) -> nn.Sequential:
        shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        first = BasicBlock(inputs, channels, stride, shortcut if stride > 1 else None)
        return nn.Sequential(first, *(BasicBlock(channels, channels) for _ in range(8)))

    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
    stages = (make_stage(16, 16, 1), make_stage(16, 32, 2), make_stage(32, 64, 2))
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))


NETWORKS = {"resnet18": make_resnet18, "resnet56": make_resnet56}


def training_steps(recipe: Recipe, device: torch.device) -> Iterator[int]:
    """Train on four prepared batches, with the running loss and accuracy of a typical tutorial."""
    network = NETWORKS[recipe.network]().to(device).train()
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    settings = {name: getattr(recipe, name) for name in ("lr", "momentum", "nesterov", "weight_decay")}
    optimizer = torch.optim.SGD(network.parameters(), **settings)
    batches = [
        (torch.randn(recipe.batch_size, 3, 32, 32, device=device), torch.randint(100, (recipe.batch_size,)).to(device))
        for _ in range(4)
    ]
    total_loss, correct = 0.0, 0
    while True:
        for inputs, labels in batches:
            optimizer.zero_grad()
            logits = network(inputs)
            loss = criterion(logits, labels)
            loss.backward()
            optimizer.step()
            total_loss += loss.item()
            correct += logits.argmax(1).eq(labels).sum().item()
            yield len(labels)


def evaluations(recipe: Recipe, device: torch.device, batch_size: int) -> Iterator[int]:
    """Forward passes on a prepared batch."""
    network = NETWORKS[recipe.network]().to(device).eval()
    inputs = torch.randn(batch_size, 3, 32, 32, device=device)
    while True:
        with torch.no_grad():
            network(inputs)
        yield batch_size


class PilImages(Dataset):
    """Like torchvision.datasets.CIFAR100: a PIL image, then the transforms."""

    def __init__(self, data: Images, transform: transforms.Compose):
        self.data, self.transform = data, transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data.images[index])), int(self.data.fine[index])


def augmented_batches(recipe: Recipe, device: torch.device, num_workers: int) -> Iterator[int]:
    """Crop, flip and cutout of the recipe in a DataLoader, in epochs of the size of CIFAR-100."""
    settings = recipe.augmentation
    area = (settings.cutout / 32) ** 2
    steps = (
        transforms.RandomCrop(32, padding=settings.crop_padding),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
        transforms.RandomErasing(settings.cutout_probability, (area, area), (1, 1)),
    )
    data = PilImages(draw_noise(), transforms.Compose(steps))
    loader = DataLoader(data, recipe.batch_size, shuffle=True, num_workers=num_workers)
    while True:
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            yield len(images)


def draw_noise(count: int = SIZES["train"]) -> Images:
    """Random pixels and labels; by default as many as the training images of CIFAR-100."""
    generator = np.random.default_rng(0)
    fine = generator.integers(0, len(COARSE_OF_FINE), count)
    return Images(generator.integers(0, 256, (count, 32, 32, 3), np.uint8), fine, COARSE_OF_FINE[fine])
