"""Convolutions on small maps as sums of matrix products, where this processor computes them quicker so.

Where a map has few places and many channels, the libraries' convolutions fall far behind a matrix product, most of all
in the gradient of the filters. Here a k x k convolution is the sum of k * k products, one for each tap of the filter:
the shifted view of the padded map, (N * H' * W', C), times that tap's matrix, (C, C'). Both gradients are such sums.
"""

import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST_MAP, FEWEST_CHANNELS = 4, 256  # pixels along a side, on both ends: beyond them the libraries were never slower
FEWEST_IMAGES = 100  # in a batch: a smaller one is soon done either way, and its time is mostly noise
MARGIN = 0.85  # of a convolution's time that the products may take: a clear win, which noise does not decide
BATCH, ROUNDS = 256, 5  # images, at most, that the two are timed on, and how often; the first round only warms up
Choice = dict[str, list[int]]  # a layer's name -> the sides of the input maps on which the products serve


class TapProducts(torch.autograd.Function):
    """conv2d(x, weight) without bias, as `F.conv2d` computes it but for rounding.

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
    """The convolution of (N, H, W, C) without further padding: (N, H', W', C')."""
    size, total = [(side - weight.size(2)) // stride + 1 for side in padded.shape[1:3]], None
    for i, j in taps(weight.size(2)):
        seen, matrix = view(padded, i, j, stride, size).reshape(-1, padded.size(3)), weight[:, :, i, j].T
        total = seen @ matrix if total is None else total.addmm_(seen, matrix)
    return total.view(len(padded), *size, -1)


def spread_products(gradient: Tensor, weight: Tensor, stride: int, padding: int, shape: torch.Size) -> Tensor:
    """The gradient at the input before it was padded to this shape: (N, H, W, C). gradient: (N, H', W', C')."""
    kernel = weight.size(2)
    if stride == 1:  # a convolution with the filters turned round
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
    """What the tap (i, j) of a filter sees: (N, H', W', C)."""
    height, width = size
    return padded[:, i : i + stride * height : stride, j : j + stride * width : stride]


class TapConv2d(nn.Conv2d):
    """A convolution that is trained by `TapProducts` on maps of the sides in `sides`, and else is what it was."""

    sides: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.size(-1) not in self.sides:
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        return TapProducts.apply(x.to(dtype), self.weight.to(dtype), self.stride[0], self.padding[0])


def use_products(network: nn.Module, choice: Choice) -> None:
    """Let the chosen layers compute by products. Weights and their names stay as they are."""
    for name, sides in choice.items():
        layer = network.get_submodule(name)
        layer.__class__, layer.sides = TapConv2d, tuple(sides)


def choose_products(network: nn.Module, batch_size: int, pixels: list[int], dtype: torch.dtype) -> Choice:
    """Where products are clearly quicker on this processor, forward and backward: some seconds, and nothing where no
    layer comes into question. pixels: the sides of the pictures that are trained on; dtype: of the products."""
    choice: Choice = {}
    if batch_size < FEWEST_IMAGES:
        return choice
    verdicts: dict[tuple, bool] = {}
    for side in pixels:
        for name, (layer, inputs) in find_candidates(network, side).items():
            shape = (min(batch_size, BATCH), *inputs.shape[1:])
            key = (shape, layer.weight.shape, layer.stride, layer.padding)
            if key not in verdicts:
                verdicts[key] = are_quicker(layer, shape, dtype)
            if verdicts[key] and inputs.size(-1) not in choice.setdefault(name, []):
                choice[name].append(inputs.size(-1))
    return {name: sides for name, sides in choice.items() if sides}


@torch.no_grad()
def find_candidates(network: nn.Module, pixels: int) -> dict[str, tuple[nn.Conv2d, Tensor]]:
    """The convolutions with a small map and many channels, each with its input for one blank picture."""
    found: dict[str, tuple[nn.Conv2d, Tensor]] = {}

    def note(name: str) -> Callable:
        def hook(layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
            wide = min(layer.in_channels, layer.out_channels) >= FEWEST_CHANNELS
            if wide and layer.kernel_size[0] > 1 and output.size(-1) <= LARGEST_MAP:
                found[name] = layer, inputs[0]

        return hook

    suited = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and is_plain(m)}
    hooks = [layer.register_forward_hook(note(name)) for name, layer in suited.items()]
    was_training = network.training
    network.eval()(next(network.parameters()).new_zeros(1, 3, pixels, pixels))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    return found


def is_plain(layer: nn.Conv2d) -> bool:
    """Whether the layer is of the kind that `TapProducts` computes."""
    square = all(values[0] == values[1] for values in (layer.kernel_size, layer.stride, layer.padding))
    square &= layer.padding[0] < layer.kernel_size[0]
    return square and layer.bias is None and layer.groups == 1 and layer.dilation == (1, 1)


def are_quicker(layer: nn.Conv2d, shape: tuple[int, ...], dtype: torch.dtype) -> bool:
    """Whether forward and backward pass of the layer take clearly less time by products, for such inputs."""
    x = torch.randn(shape).to(dtype, memory_format=torch.channels_last).requires_grad_()
    weight = layer.weight.detach().to(dtype).requires_grad_()
    stride, padding = layer.stride[0], layer.padding[0]

    def measure(convolve: Callable[[], Tensor]) -> float:
        start = time.perf_counter()
        output = convolve()
        output.backward(torch.ones_like(output))
        return time.perf_counter() - start

    times = []
    for _ in range(ROUNDS):  # in turns, so that what else the machine does counts for both
        products = measure(lambda: TapProducts.apply(x, weight, stride, padding))
        times.append((products, measure(lambda: F.conv2d(x, weight, None, stride, padding))))
    products, library = (min(both) for both in zip(*times[1:]))
    return products < MARGIN * library
