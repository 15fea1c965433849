"""Convolutions on small feature maps as sums of matrix products, which are faster on a CPU in bfloat16.

On small feature maps with many channels PyTorch's convolutions are much slower than a matrix product, above all in the
gradient of the filters. Here a k x k convolution is the sum of k * k products, one per tap of the filter: the shifted
view of the padded map, (N * H' * W', C), times the matrix of that tap, (C, C'). Both gradients are such sums.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A fixed rule instead of a measurement at the start, so that results are reproducible. Beyond these bounds PyTorch's
# convolutions were never slower: docs/speed.md.
LARGEST_MAP, FEWEST_CHANNELS = 4, 256  # pixels along a side of the output; in and out


class TapProducts(torch.autograd.Function):
    """conv2d(x, weight) without bias, equal to `F.conv2d` up to rounding.

    x: (N, C, H, W); weight: (C', C, k, k) -> (N, C', H', W'), channels last in memory.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))  # (N, H, W, C)
        ctx.save_for_backward(padded, weight)
        ctx.stride, ctx.padding = stride, padding
        return sum_products(padded, weight, stride).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        padded, weight = ctx.saved_tensors
        gradient = gradient.permute(0, 2, 3, 1)  # (N, H', W', C')
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = spread_products(gradient, weight, ctx.stride, ctx.padding, padded.shape).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            to_weight, size = torch.empty_like(weight), gradient.shape[1:3]
            outer = gradient.reshape(-1, gradient.size(3)).T  # (C', N * H' * W')
            for i, j in taps(weight.size(2)):
                to_weight[:, :, i, j] = outer @ view(padded, i, j, ctx.stride, size).reshape(-1, padded.size(3))
        return to_x, to_weight, None, None


def sum_products(padded: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The convolution of (N, H, W, C) without padding: (N, H', W', C')."""
    size, total = [(side - weight.size(2)) // stride + 1 for side in padded.shape[1:3]], None
    for i, j in taps(weight.size(2)):
        seen, matrix = view(padded, i, j, stride, size).reshape(-1, padded.size(3)), weight[:, :, i, j].T
        total = seen @ matrix if total is None else total.addmm_(seen, matrix)
    return total.view(len(padded), *size, -1)


def spread_products(gradient: Tensor, weight: Tensor, stride: int, padding: int, shape: torch.Size) -> Tensor:
    """The gradient of the input, (N, H, W, C), without the padding. shape: with it; gradient: (N, H', W', C')."""
    kernel = weight.size(2)
    if stride == 1:  # a convolution with the flipped filters
        border = kernel - 1 - padding
        wide = F.pad(gradient, (0, 0, border, border, border, border))
        return sum_products(wide, weight.flip(2, 3).transpose(0, 1), 1)
    spread, outer = gradient.new_zeros(shape), gradient.reshape(-1, gradient.size(3))
    for i, j in taps(kernel):
        place = view(spread, i, j, stride, gradient.shape[1:3])
        place.add_((outer @ weight[:, :, i, j]).view(place.shape))
    return spread[:, padding : shape[1] - padding, padding : shape[2] - padding]


def taps(kernel: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(kernel) for j in range(kernel)]


def view(padded: Tensor, i: int, j: int, stride: int, size: Sequence[int]) -> Tensor:
    """The input of the tap (i, j) of a filter: (N, H', W', C)."""
    height, width = size
    return padded[:, i : i + stride * height : stride, j : j + stride * width : stride]


class TapConv2d(nn.Conv2d):
    """A convolution that uses `TapProducts` in training if its output is small."""

    def forward(self, x: Tensor) -> Tensor:
        side = (x.size(-1) + 2 * self.padding[0] - self.kernel_size[0]) // self.stride[0] + 1
        if not self.training or side > LARGEST_MAP:
            return super().forward(x)
        x, weight = x.to(torch.bfloat16), self.weight.to(torch.bfloat16)
        return TapProducts.apply(x, weight, self.stride[0], self.padding[0])


def use_products(network: nn.Module) -> None:
    """Make the wide convolutions use `TapProducts` in bfloat16. Weights and their names do not change."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and is_plain(layer):
            if min(layer.in_channels, layer.out_channels) >= FEWEST_CHANNELS:
                layer.__class__ = TapConv2d


def is_plain(layer: nn.Conv2d) -> bool:
    """Whether `TapProducts` can compute the layer."""
    square = all(values[0] == values[1] for values in (layer.kernel_size, layer.stride, layer.padding))
    wide = layer.padding[0] < layer.kernel_size[0] > 1
    return square and wide and layer.bias is None and layer.groups == 1 and layer.dilation == (1, 1)
