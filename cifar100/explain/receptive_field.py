"""The sizes, parameters, receptive field and multiply-adds of a network, block by block."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Block:
    """A block of a network. Sizes, strides and receptive fields are in pixels along one side."""

    name: str
    in_channels: int
    out_channels: int
    layers: str  # kernel / stride / padding of its convolutions and pools, in order
    in_size: int
    out_size: int
    parameters: int
    jump: int  # input pixels between neighbouring output units
    receptive_field: int  # input pixels that an output unit depends on
    shortcut: bool = False  # whether it has a 1x1 convolution with stride 2


@torch.no_grad()
def record_layers(network: nn.Module) -> dict[str, tuple[nn.Module, Tensor, Tensor]]:
    """Each layer with its input and output for a blank 32x32 image, in the order of the calls."""
    layers: dict[str, tuple[nn.Module, Tensor, Tensor]] = {}

    def note(name: str):
        return lambda module, inputs, output: layers.update({name: (module, inputs[0], output)})

    kinds = (nn.Conv2d, nn.MaxPool2d, nn.Linear)
    hooks = [m.register_forward_hook(note(name)) for name, m in network.named_modules() if isinstance(m, kinds)]
    was_training = network.training
    network.eval()(next(network.parameters()).new_zeros(1, 3, 32, 32))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    return layers


def block_names(network: nn.Module) -> dict[str, str]:
    """The blocks of a network: module name -> display name."""
    names = {"stem": "stem"}
    for stage, part in enumerate(network.stages):
        if isinstance(part, nn.Sequential):
            names |= {f"stages.{stage}.{k}": f"stage {stage + 1}, block {k + 1}" for k in range(len(part))}
        else:
            names[f"stages.{stage}"] = f"group {stage + 1}"
    return names | {"head": "head"}


def trace_blocks(network: nn.Module) -> list[Block]:
    """One Block for the stem, each block of the stages, and the head, which has the receptive field of the last block.

    For each layer in order, without the shortcuts, whose fields are smaller: field += (kernel - 1) * jump, then
    jump *= stride (Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks").
    """
    layers = record_layers(network)
    blocks, jump, field = [], 1, 1
    for prefix, name in block_names(network).items():
        inside = [
            entry for key, entry in layers.items() if (key + ".").startswith(prefix + ".") and "shortcut" not in key
        ]
        described = []
        for module, _, _ in inside:
            if not isinstance(module, nn.Linear):
                kernel, stride, padding = (
                    v[0] if isinstance(v, tuple) else v for v in (module.kernel_size, module.stride, module.padding)
                )
                field, jump = field + (kernel - 1) * jump, jump * stride
                kind = "pool " if isinstance(module, nn.MaxPool2d) else ""
                described.append(f"{kind}{kernel}x{kernel}/{stride}/{padding}")
        (_, first, _), (_, _, last) = inside[0], inside[-1]
        parameters = sum(p.numel() for p in network.get_submodule(prefix).parameters())
        sizes = [t.size(-1) if t.ndim == 4 else 1 for t in (first, last)]
        channels = [t.size(1) for t in (first, last)]
        shortcut = any(key.startswith(f"{prefix}.shortcut") for key in layers)
        numbers = (*sizes, parameters, jump, field, shortcut)
        blocks.append(Block(name, *channels, ", ".join(described) or "linear", *numbers))
    return blocks


def blocks_as_markdown(blocks: list[Block]) -> str:
    """A table with a row per block, and the sum of the parameters."""
    lines = [
        "| block | channels | kernel / stride / padding | input | output | parameters | jump | receptive field |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for b in blocks:
        sizes = f"{b.in_size}x{b.in_size} | {b.out_size}x{b.out_size}"
        numbers = f"{b.parameters:,} | " + ("- | -" if b.name == "head" else f"{b.jump} | {b.receptive_field}")
        shortcut = ", shortcut 1x1/2/0" if b.shortcut else ""
        lines.append(f"| {b.name} | {b.in_channels} -> {b.out_channels} | {b.layers}{shortcut} | {sizes} | {numbers} |")
    lines.append(f"| all | | | | | {sum(b.parameters for b in blocks):,} | | |")
    return "\n".join(lines) + "\n"


@torch.no_grad()
def count_multiply_adds(network: nn.Module) -> int:
    """Multiply-adds of convolutions and matrix products for one 32x32 image, with shortcuts."""
    was_training = network.training
    with FlopCounterMode(display=False) as counter:
        network.eval()(next(network.parameters()).new_zeros(1, 3, 32, 32))
    network.train(was_training)
    return counter.get_total_flops() // 2
