"""The forward pass with its loss, compiled where that pays, and plain where it fails or computes something else."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100.errors import brief
from cifar100.parallel.group import ALONE, Group
from cifar100.parallel.shared_norm import share_norms
from cifar100.training.proof import exact_convolutions, find_difference, is_finite, watch

TRIALS = 3  # of the compiled step before it counts: on a GPU the second is recorded, and the third a replay


class LossStep:
    """Loss and logits of a batch, with the gradients left in the network's parameters.

    A ResNet-56 in eager mode launches a thousand small kernels a step and waits for the launches.
    On a GPU torch.compile fuses them and records the rest as CUDA graphs. Whole batches have one
    shape; the smaller last one of an epoch runs in eager mode. The first batch of a shape is computed both ways, and
    where they differ by more than rounding, the plain step serves.

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
        self.proven: set[tuple] = set()  # shapes for which the compiled step computes what the plain one does
        self.backend = "off"
        self.refused: str | None = None  # why the plain step serves though another was chosen
        self.say: Callable[[str], None] = print

    def compile(self, backend: str, say: Callable[[str], None] = print) -> None:
        """Choose a backend of torch.compile; "auto" is inductor on a GPU and none elsewhere."""
        self.say = say
        if backend == "auto":
            backend = "inductor" if self.device.type == "cuda" else "off"
        if backend == "off":
            return
        if self.group.size > 1:
            say("Several processes exchange the norms' statistics within a step, which is not compiled.")
            return
        self.backend, options = backend, compile_options(backend, self.network, self.device)
        # Without this, the shapes of earlier runs in this process count against Dynamo's limit of
        # eight, behind which it silently stops compiling; and their graphs would keep memory.
        torch.compiler.reset()
        try:
            self.compiled = torch.compile(self.forward, backend=backend, dynamic=False, **options)
        except RuntimeError as error:  # this platform or this Python is not supported
            self.give_up(f"could not be compiled ({brief(error)})")
            return
        say(f"The training step is compiled ({backend}); the first one takes a minute or two.")

    def forward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return self.compute(inputs, targets, self.dtype)

    def compute(self, inputs: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        # Not autocast(enabled=False): older releases do not know Apple's GPU there at all.
        with nullcontext() if dtype == torch.float32 else torch.autocast(self.device.type, dtype):
            logits = self.replica(inputs)
        return F.cross_entropy(logits.float(), targets, label_smoothing=self.label_smoothing), logits

    def __call__(self, inputs: Tensor, targets: Tensor, scaler: torch.amp.GradScaler) -> tuple[Tensor, Tensor]:
        """inputs: (N, 3, H, W); targets: (N,) labels or (N, classes) shares -> the mean loss and the
        logits (N, classes), detached."""
        whole = len(inputs) == self.batch_size
        serves = self.compiled is not None and whole and self.is_proven(inputs, targets, scaler)
        return self.run(self.forward_compiled if serves else self.forward, inputs, targets, scaler)

    def is_proven(self, inputs: Tensor, targets: Tensor, scaler: torch.amp.GradScaler) -> bool:
        """Whether the compiled step serves for batches of this shape. It is compared with the plain one the first time;
        where it fails or differs, that is said, and the plain one serves from now on."""
        key = (inputs.shape, targets.ndim)
        if key in self.proven:
            return True
        try:
            wrong = self.compare(inputs, targets, scaler)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler, its back end or its tools may fail in any way
            wrong = f"could not be compiled ({brief(error)})"
        if wrong:
            self.give_up(wrong)
        elif wrong is not None:
            self.proven.add(key)
        return key in self.proven

    def compare(self, inputs: Tensor, targets: Tensor, scaler: torch.amp.GradScaler) -> str | None:
        """Why the compiled step does not serve for this batch; "" where it does. None where this batch cannot tell: in
        float16 the first gradients may overflow, which the scaler puts right within some steps."""
        batch = (inputs, targets, scaler)
        plain = watch(self.network, partial(self.run, self.forward, *batch), self.device)
        if not is_finite(plain):
            return None
        try:
            with exact_convolutions(self.device):
                in_float32 = partial(self.compute, dtype=torch.float32)
                exact = watch(self.network, partial(self.run, in_float32, *batch), self.device)
        except torch.cuda.OutOfMemoryError:
            return "is not compiled, since there is too little memory to compare it with one in float32"
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # a recorded graph has memory of its own
        for _ in range(TRIALS):
            compiled = watch(self.network, partial(self.run, self.forward_compiled, *batch), self.device)
            if difference := find_difference(exact, plain, compiled):
                return f"does not compute the same when it is compiled ({difference})"
        return ""

    def give_up(self, reason: str) -> None:
        """Go on in eager mode, and say so."""
        self.compiled, self.refused = None, reason
        self.say(f"The training step {reason}: the plain one serves, kernel by kernel.")

    def forward_compiled(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        torch.compiler.cudagraph_mark_step_begin()
        return self.compiled(inputs, targets)

    def run(
        self, forward: Callable, inputs: Tensor, targets: Tensor, scaler: torch.amp.GradScaler
    ) -> tuple[Tensor, Tensor]:
        for parameter in self.network.parameters():
            parameter.grad = None
        loss, logits = forward(inputs, targets)
        if self.group.size > 1:
            # The replica takes the plain mean over the processes, whose shares may differ by an image.
            scaler.scale(loss * (len(inputs) * self.group.size / self.total)).backward()
        else:
            scaler.scale(loss).backward()
        return loss.detach(), logits.detach()


def compile_options(backend: str, network: nn.Module, device: torch.device) -> dict:
    """For torch.compile. On a GPU inductor's kernels are recorded as CUDA graphs. Dropout draws as the plain step does,
    without which the two could not be compared; it costs nothing where it is one layer before the head."""
    if backend != "inductor" or device.type != "cuda":
        return {}
    if not any(isinstance(module, nn.Dropout) and module.p for module in network.modules()):
        return {"mode": "reduce-overhead"}
    return {"options": {"triton.cudagraphs": True, "fallback_random": True}}  # the former is what that mode stands for
