"""The forward pass with its loss: plain, or compiled where that pays."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100.errors import brief

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # (inputs, targets) -> (mean loss, logits)
Say = Callable[[str], None]


def make_forward(network: nn.Module, dtype: torch.dtype, label_smoothing: float, device: torch.device) -> Forward:
    """Inputs (N, 3, H, W) and targets, (N,) labels or (N, classes) shares -> the mean loss and logits (N, classes).
    Convolutions and matrix products are computed in `dtype`."""

    def forward(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        with nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype):
            logits = network(inputs)
        return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing), logits

    return forward


def compile_forward(forward: Forward, batch_size: int, say: Say, backend: str = "inductor") -> Forward:
    """The same by torch.compile for whole batches. An epoch's smaller last batch is computed plainly, and all of them
    are once the compiler has failed.

    In eager mode a ResNet-56 waits for a thousand small kernels a step. On a GPU inductor fuses them and records the
    rest as CUDA graphs.
    """
    torch.compiler.reset()  # the shapes of earlier runs in this process count against Dynamo's limit of eight
    options = {"mode": "reduce-overhead"} if backend == "inductor" else {}
    compiled = torch.compile(forward, backend=backend, dynamic=False, **options)
    say("The training step is compiled; the first one takes a minute or two.")

    def step(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal compiled
        if compiled and len(inputs) == batch_size:
            try:
                torch.compiler.cudagraph_mark_step_begin()
                return compiled(inputs, targets)
            except torch.cuda.OutOfMemoryError:
                raise
            except Exception as error:  # a compiler, its back end or its tools may fail in any way
                say(f"The training step could not be compiled ({brief(error)}): it is computed plainly.")
                compiled = None
        return forward(inputs, targets)

    return step
