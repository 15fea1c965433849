"""The forward pass and the loss, in eager mode or compiled."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100.errors import brief

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # (inputs, targets) -> (mean loss, logits)
Say = Callable[[str], None]


def make_forward(network: nn.Module, dtype: torch.dtype, label_smoothing: float, device: torch.device) -> Forward:
    """A function of inputs (N, 3, H, W) and targets, (N,) labels or (N, classes) shares, that returns the mean loss and
    the logits (N, classes). Convolutions and matrix products are computed in `dtype`."""

    def forward(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        with nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype):
            logits = network(inputs)
        return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing), logits

    return forward


def compile_forward(forward: Forward, batch_size: int, say: Say, backend: str = "inductor") -> Forward:
    """The same function, compiled for full batches. The smaller last batch of an epoch runs in eager mode, and so does
    every batch after the compiler has failed.

    In eager mode a step of ResNet-56 launches a thousand small kernels. Inductor fuses them and uses CUDA graphs.
    """
    torch.compiler.reset()  # earlier runs in this process count towards Dynamo's limit of eight compilations
    options = {"mode": "reduce-overhead"} if backend == "inductor" else {}
    compiled = torch.compile(forward, backend=backend, dynamic=False, **options)
    say("Compiling the training step; the first one takes a minute or two.")

    def step(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal compiled
        if compiled and len(inputs) == batch_size:
            try:
                torch.compiler.cudagraph_mark_step_begin()
                return compiled(inputs, targets)
            except torch.cuda.OutOfMemoryError:
                raise
            except Exception as error:  # the compiler, its backend and its tools raise many kinds
                say(f"The training step could not be compiled ({brief(error)}): falling back to eager mode.")
                compiled = None
        return forward(inputs, targets)

    return step
