"""The forward pass with its loss, compiled where that pays, and eager where it fails."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100.errors import brief
from cifar100.parallel.group import ALONE, Group
from cifar100.parallel.shared_norm import share_norms


class LossStep:
    """Loss and logits of a batch, with the gradients left in the network's parameters.

    A ResNet-56 in eager mode launches a thousand small kernels a step and waits for the launches.
    On a GPU torch.compile fuses them and records the rest as CUDA graphs. Whole batches have one
    shape; the smaller last one of an epoch runs in eager mode, which computes the same.

    In a group of processes each computes its share of a batch, in eager mode, and the norms' statistics and the
    gradients are those of the whole batch.
    """

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype,
        label_smoothing: float,
        batch_size: int,
        device: torch.device,
        group: Group = ALONE,
    ):
        self.network, self.dtype, self.batch_size, self.device = network, dtype, batch_size, device
        self.label_smoothing, self.group = label_smoothing, group
        if group.size > 1:
            share_norms(network)
        self.replica = group.wrap(network)
        self.total = batch_size  # images in the coming batch over all processes; read only where there are several
        self.compiled: Callable | None = None
        self.proven: set[tuple] = set()  # shapes for which the compiled step has once run to the end
        self.say: Callable[[str], None] = print

    def compile(self, backend: str, say: Callable[[str], None] = print) -> None:
        """Choose a backend of torch.compile; "auto" is inductor on a GPU and none elsewhere."""
        self.say = say
        if backend == "auto":
            backend = "inductor" if self.device.type == "cuda" else "off"
        if backend in ("off", "capture"):  # the latter is cuda_graph.py's
            return
        if self.group.size > 1:
            say("Several processes exchange the norms' statistics within a step, which is not compiled.")
            return
        options = {"mode": "reduce-overhead"} if backend == "inductor" and self.device.type == "cuda" else {}
        # Without this, the shapes of earlier runs in this process count against Dynamo's limit of
        # eight, behind which it silently stops compiling; and their graphs would keep memory.
        torch.compiler.reset()
        try:
            self.compiled = torch.compile(self.forward, backend=backend, dynamic=False, **options)
        except RuntimeError as error:  # this platform or this Python is not supported
            self.give_up(error)
            return
        say(f"The training step is compiled ({backend}); the first one takes a minute or two.")

    def forward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        # Not autocast(enabled=False): older releases do not know Apple's GPU there at all.
        plain = self.dtype == torch.float32
        with nullcontext() if plain else torch.autocast(self.device.type, self.dtype):
            logits = self.replica(inputs)
        return F.cross_entropy(logits.float(), targets, label_smoothing=self.label_smoothing), logits

    def __call__(self, inputs: Tensor, targets: Tensor, scaler: torch.amp.GradScaler) -> tuple[Tensor, Tensor]:
        """inputs: (N, 3, H, W); targets: (N,) labels or (N, classes) shares -> the mean loss and the
        logits (N, classes), detached."""
        for parameter in self.network.parameters():
            parameter.grad = None
        if self.compiled is None or len(inputs) != self.batch_size:
            return self.run(self.forward, inputs, targets, scaler)
        key = (inputs.shape, targets.ndim)
        if key in self.proven:
            torch.compiler.cudagraph_mark_step_begin()
            return self.run(self.compiled, inputs, targets, scaler)
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        try:
            loss, logits = self.run(self.compiled, inputs, targets, scaler)
            self.proven.add(key)
            return loss, logits
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler, its back end or its tools may fail in any way
            self.give_up(error)
            for buffer, before in zip(self.network.buffers(), buffers):
                buffer.copy_(before)  # the norms may have counted the batch already
            return self(inputs, targets, scaler)

    def give_up(self, error: Exception) -> None:
        """Go on in eager mode, and say so."""
        self.compiled = None
        self.say(f"The training step could not be compiled and runs in eager mode ({brief(error)}).")

    def run(
        self, forward: Callable, inputs: Tensor, targets: Tensor, scaler: torch.amp.GradScaler
    ) -> tuple[Tensor, Tensor]:
        loss, logits = forward(inputs, targets)
        if self.group.size > 1:
            # The replica takes the plain mean over the processes, whose shares may differ by an image.
            scaler.scale(loss * (len(inputs) * self.group.size / self.total)).backward()
        else:
            scaler.scale(loss).backward()
        return loss.detach(), logits.detach()
