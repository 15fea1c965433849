"""What each layer of a network costs in training: multiply-adds, time, and how near it comes to the processor's
best."""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from benchmarks.ours import MATRIX, matrix_products
from cifar100.device import choose_device, choose_precision, describe_machine, keep_freed_memory, name_precision
from cifar100.explain.receptive_field import record_layers
from cifar100.recipe import Recipe
from cifar100.runs.weights import make_network
from cifar100.training.speed import measure_rate, synchronise


@dataclass(frozen=True)
class LayerCost:
    """A convolution or linear layer, on one batch of the recipe. Times are medians."""

    name: str
    shape: str  # input channels x side -> output channels x side, kernel
    multiply_adds: int  # of the forward pass, an image; those with the padding's zeros count, for they are computed
    forward_seconds: float  # a batch
    backward_seconds: float  # a batch; to the filters, and to the input unless the network ends there
    gflops: float  # 1e9 operations/s, forward and backward; a multiply-add is two

    def to_dict(self) -> dict:
        return asdict(self)


def measure_layers(
    recipe: Recipe, device: str | None = None, precision: str = "auto", pixels: int = 32, rounds: int = 5
) -> list[LayerCost]:
    """Time every layer that multiplies, alone, on a batch of pictures of so many pixels, in the order of the calls.

    Layers that are not trained have no backward pass. Raises UserError as `choose_device` and `choose_precision` do.
    """
    chosen = choose_device(device)
    dtype = choose_precision(chosen, precision)
    if chosen.type == "cpu":
        keep_freed_memory()
    network = make_network(recipe).to(chosen)
    costs, trained_before = [], False
    for name, (layer, inputs, outputs) in record_layers(network, pixels).items():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            costs.append(measure_layer(name, layer, inputs, outputs, recipe.batch_size, dtype, trained_before, rounds))
            trained_before |= layer.weight.requires_grad
    return costs


def measure_layer(
    name: str,
    layer: nn.Module,
    inputs: Tensor,
    outputs: Tensor,
    batch_size: int,
    dtype: torch.dtype,
    needs_input_gradient: bool,
    rounds: int,
) -> LayerCost:
    """One layer's cost. inputs, outputs: those of one picture, for their shapes."""
    layer = copy.deepcopy(layer).to(dtype)
    layout = torch.channels_last if inputs.ndim == 4 else torch.contiguous_format
    batch = torch.randn(batch_size, *inputs.shape[1:], device=inputs.device).to(dtype, memory_format=layout)
    batch.requires_grad_(needs_input_gradient)
    trained = layer.weight.requires_grad
    gradient = torch.randn_like(layer(batch).detach())
    forward = median_seconds(lambda: layer(batch), rounds, inputs.device)
    both = median_seconds(lambda: layer(batch).backward(gradient), rounds, inputs.device) if trained else forward
    weight = layer.weight
    multiply_adds = weight.numel() * outputs[0].numel() // len(weight)  # every output unit sees all of its filter
    passes = 1 + trained + needs_input_gradient
    kernel = f", {weight.shape[-1]}x{weight.shape[-1]}" if weight.ndim == 4 else ""
    return LayerCost(
        name,
        f"{describe_size(inputs)} -> {describe_size(outputs)}{kernel}",
        multiply_adds,
        forward,
        max(0.0, both - forward),
        2 * multiply_adds * batch_size * passes / both / 1e9,
    )


def median_seconds(work: Callable, rounds: int, device: torch.device) -> float:
    """Of so many calls, after two that fetch memory and choose kernels."""
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def describe_size(values: Tensor) -> str:
    """Of one picture's values (1, C, H, W) or (1, C): 64x15x15."""
    return "x".join(str(side) for side in values.shape[1:])


def run_layers(recipe: Recipe, device: str | None = None, precision: str = "auto", pixels: int = 32) -> dict:
    """All that `format_layers` and `render_layers` show, as JSON holds it."""
    chosen = choose_device(device)
    dtype = choose_precision(chosen, precision)
    costs = measure_layers(recipe, device, precision, pixels)
    products = matrix_products(MATRIX, name_precision(dtype), chosen)
    return {
        "recipe": recipe.name,
        "batch_size": recipe.batch_size,
        "pixels": pixels,
        **describe_machine(chosen),
        "precision": name_precision(dtype),
        "matrix_product_gflops": measure_rate(products, lambda done: done, chosen, seconds=1.0, warm_up=2),
        "layers": [cost.to_dict() for cost in costs],
    }


HEAD = ("layer", "shape", "multiply-adds", "forward", "backward", "GFLOP/s", "of a matrix product's")


def make_rows(figures: dict) -> list[tuple[str, ...]]:
    """A row a layer, in the words of the tables."""
    best = figures["matrix_product_gflops"]
    return [
        (
            *(layer["name"], layer["shape"], f"{layer['multiply_adds']:,}"),
            *(f"{1e3 * layer[f'{way}_seconds']:.0f} ms" for way in ("forward", "backward")),
            *(f"{layer['gflops']:.0f}", f"{layer['gflops'] / best:.0%}"),
        )
        for layer in figures["layers"]
    ]


def describe_layers(figures: dict) -> str:
    """What the table is about, in one line."""
    total = sum(layer["forward_seconds"] + layer["backward_seconds"] for layer in figures["layers"])
    return (
        f"{figures['batch_size']:,} pictures of {figures['pixels']}x{figures['pixels']} pixels on "
        f"{figures['hardware']}, {figures['precision']}, PyTorch {figures['torch']}: {total:.2f} s in all layers; "
        f"a product of two {MATRIX}x{MATRIX} matrices reaches {figures['matrix_product_gflops']:.0f} GFLOP/s."
    )


def format_layers(figures: dict) -> str:
    """A table for the screen."""
    rows = [HEAD, *make_rows(figures)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
    lines = [
        "  ".join((str.ljust if k < 2 else str.rjust)(row[k], widths[k]) for k in range(len(HEAD))) for row in rows
    ]
    return "\n".join([*lines, describe_layers(figures)])


def render_layers(figures: dict) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in (HEAD, *make_rows(figures))]
    lines.insert(1, "| --- | --- |" + " ---: |" * (len(HEAD) - 2))
    return "\n".join([describe_layers(figures), "", *lines]) + "\n"
