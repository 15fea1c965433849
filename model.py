"""The networks: ResNets for CIFAR, and SprintNet, which trains in ten epochs. Needs only torch.

Shapes, for a batch of N images of 32x32 (the head gives (N, num_classes) logits):

    stage     ResNet-20/56/110      ResNet-18/34          SprintNet
    stem      (N,  16, 32, 32)      (N,  64, 32, 32)      (N,  24, 31, 31)
    stage 1   (N,  16, 32, 32)      (N,  64, 32, 32)      (N,  64, 15, 15)
    stage 2   (N,  32, 16, 16)      (N, 128, 16, 16)      (N, 256,  7,  7)
    stage 3   (N,  64,  8,  8)      (N, 256,  8,  8)      (N, 768,  3,  3)
    stage 4                         (N, 512,  4,  4)

`python model.py` prints the sizes of all networks, `python model.py resnet18` the layers of one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes
    (He et al. 2016, section 4.1, option B; their CIFAR networks pad with zeros, option A)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:  # (N, in, H, W) -> (N, out, H/stride, W/stride)
        out = F.relu(self.norm1(self.conv1(x)), inplace=True)
        out = self.norm2(self.conv2(out))
        return F.relu(out + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    """A residual network for 32x32 images: a stage per width, each of `depths` blocks.

    3x3 stem and no max-pool, because inputs are 32x32 and not 224x224 (He et al. 2016, section
    4.2). Convolutions are initialised with Kaiming normal, fan-out (He et al. 2015).
    """

    def __init__(
        self,
        widths: tuple,
        depths: tuple,
        num_classes: int = 100,
        dropout: float = 0.0,
    ):
        super().__init__()
        conv = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
        self.stages = nn.Sequential()
        in_channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths)):
            blocks = nn.Sequential()
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(BasicBlock(in_channels, width, stride))
                in_channels = width
            self.stages.append(blocks)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(in_channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, 32, 32) -> (N, num_classes)
        return self.classify(self.features(images))

    def features(self, images: Tensor) -> Tensor:  # -> (N, C), what the head sees
        maps = self.stages(self.stem(images))  # (N, C, 8, 8), with four stages (N, C, 4, 4)
        return maps.mean((2, 3))

    def classify(self, features: Tensor) -> Tensor:
        return self.head(self.dropout(features))


class SprintGroup(nn.Module):
    """More channels at half the size, then a residual pair of convolutions through `inner` channels.
    Every filter bank is initialised as the identity on the channels that it can copy."""

    def __init__(self, in_channels: int, out_channels: int, inner: int, kernels: tuple):
        super().__init__()
        first, second, third = kernels
        self.conv1 = nn.Conv2d(in_channels, out_channels, first, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = nn.BatchNorm2d(out_channels, momentum=0.3)
        self.conv2 = nn.Conv2d(out_channels, inner, second, padding=second // 2, bias=False)
        self.norm2 = nn.BatchNorm2d(inner, momentum=0.3)
        self.conv3 = nn.Conv2d(inner, out_channels, third, padding=third // 2, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels, momentum=0.3)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.dirac_(conv.weight.data[: conv.in_channels])

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, out_channels, H // 2, W // 2)
        # "Same" padding, but without the odd row and column that the pooling would drop.
        kernel = self.conv1.kernel_size[0]
        before, after = (kernel - 1) // 2, kernel // 2 - x.size(-1) % 2
        x = self.pool(self.conv1(F.pad(x, (before, after, before, after))))
        x = F.silu(self.norm1(x))
        out = F.silu(self.norm2(self.conv2(x)))
        return F.silu(x + self.norm3(self.conv3(out)))


class SprintNet(nn.Module):
    """A network that learns CIFAR-100 in ten epochs: a frozen patch-whitening stem, three groups with
    identity initialisation, and a linear head on the sum of max and mean pooling.

    Sources: cifar10-airbench (Jordan 2024, arXiv:2404.00498: whitening stem, identity
    initialisation, scaled logits) and the AIDDA CIFAR-100 speedrun (the widths). We differ in the
    bottlenecks within the groups, which are faster on a CPU, and in the pooling of the head.
    Call `fit_stem` with training images once before the first step.
    """

    def __init__(self, num_classes: int = 100):
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 2)
        self.stem.weight.requires_grad_(False)
        nn.init.zeros_(self.stem.bias)
        self.stages = nn.Sequential(
            SprintGroup(24, 64, inner=64, kernels=(3, 1, 1)),
            SprintGroup(64, 256, inner=192, kernels=(3, 3, 1)),
            SprintGroup(256, 768, inner=512, kernels=(2, 3, 3)),
        )
        self.head = nn.Linear(768, num_classes, bias=False)
        self.logit_scale = 1.25 / 9

    @torch.no_grad()
    def fit_stem(self, images: Tensor, epsilon: float = 5e-4) -> None:
        """Set the stem's filters to the eigenvectors of the covariance of 2x2 patches, each divided by
        its standard deviation, and to their negatives. images: (N, 3, H, W) float32, normalised."""
        patches = F.unfold(images.cpu(), 2).transpose(1, 2).reshape(-1, 12).double()  # (N * 31 * 31, 12)
        variances, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (variances + epsilon).sqrt()).T.reshape(12, 3, 2, 2)
        self.stem.weight.copy_(torch.cat((filters, -filters)))

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, H, W), H and W at least 9 -> (N, num_classes)
        return self.classify(self.features(images))

    def features(self, images: Tensor) -> Tensor:  # -> (N, 768), the input of the head
        maps = self.stages(F.silu(self.stem(images)))  # (N, 768, 3, 3) at 32 px
        return maps.amax((2, 3)) + maps.mean((2, 3))

    def classify(self, features: Tensor) -> Tensor:
        return self.head(features) * self.logit_scale


def resnet20(num_classes: int = 100, dropout: float = 0.0) -> ResNet:
    return ResNet((16, 32, 64), (3, 3, 3), num_classes, dropout)


def resnet56(num_classes: int = 100, dropout: float = 0.0) -> ResNet:
    return ResNet((16, 32, 64), (9, 9, 9), num_classes, dropout)


def resnet110(num_classes: int = 100, dropout: float = 0.0) -> ResNet:
    return ResNet((16, 32, 64), (18, 18, 18), num_classes, dropout)


def resnet18(num_classes: int = 100, dropout: float = 0.0) -> ResNet:
    return ResNet((64, 128, 256, 512), (2, 2, 2, 2), num_classes, dropout)


def resnet34(num_classes: int = 100, dropout: float = 0.0) -> ResNet:
    return ResNet((64, 128, 256, 512), (3, 4, 6, 3), num_classes, dropout)


def sprint(num_classes: int = 100) -> SprintNet:
    return SprintNet(num_classes)


NETWORKS = {builder.__name__: builder for builder in (resnet20, resnet56, resnet110, resnet18, resnet34, sprint)}


if __name__ == "__main__":
    import sys

    from torchsummary import summary

    from cifar100.explain.receptive_field import count_multiply_adds, trace_blocks

    chosen = sys.argv[1] if len(sys.argv) > 1 else "resnet56"
    if chosen not in NETWORKS:
        print(f"There is no network {chosen!r}; choose from {', '.join(NETWORKS)}.", file=sys.stderr)
        sys.exit(2)
    if len(sys.argv) == 1:
        print(f"{'network':10} {'parameters':>12} {'multiply-adds':>14} {'receptive field':>16}")
        for name, builder in NETWORKS.items():
            network = builder()
            parameters = sum(p.numel() for p in network.parameters())
            field = trace_blocks(network)[-1].receptive_field
            print(f"{name:10} {parameters:12,} {count_multiply_adds(network):14,} {field:13} px")
    print(f"\n{chosen}, layer by layer:")
    summary(NETWORKS[chosen](), (3, 32, 32), device="cpu")
