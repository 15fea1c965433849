"""Whether a compiled training step computes what the plain step computes.

Gradients in bfloat16 are far from exact: in a ResNet-20 a third of them is rounding, in a fresh ResNet-56 more. So no
fixed tolerance tells a wrong step from a rounded one. Both steps are compared with a third, the plain one in float32:
the other step may be as far from it as the plain one is, and as much again. On a CPU the plain step's own distance
varies by less than two thirds when the batch is merely put in another order.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

FACTOR = 2.0  # times the plain step's own distance from the float32 step ...
FLOOR = 0.02  # ... and this fraction of what is compared: where the plain step is exact, another order of sums is not

Seen = dict[str, Tensor]  # what a step computed, by name


def see(network: nn.Module, **values: Tensor) -> Seen:
    """Copies of what a step computed: the named values, and the gradients in the network's parameters, put together by
    the network's parts, vectors and filters apart."""
    gradients: dict[str, list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            kind = "filters" if parameter.ndim > 1 else "norms and biases"
            gradients.setdefault(f"gradient of {name.split('.')[0]}'s {kind}", []).append(parameter.grad.flatten())
    seen = {name: value.detach().float().flatten().clone() for name, value in values.items()}
    return seen | {name: torch.cat(parts).float() for name, parts in gradients.items()}


def is_finite(seen: Seen) -> bool:
    return all(bool(value.isfinite().all()) for value in seen.values())


def find_difference(exact: Seen, plain: Seen, other: Seen) -> str | None:
    """What the other step computes otherwise than rounding explains, in a few words; None if nothing."""
    for name, truth in exact.items():
        if name not in other or other[name].shape != truth.shape:
            return f"it leaves out the {name}"
        size = truth.norm()
        own, theirs = ((seen[name] - truth).norm() for seen in (plain, other))
        if not theirs <= FACTOR * own + FLOOR * size:  # not a number, either
            return f"its {name} differs by {theirs / size:.0%}, the plain step's by {own / size:.0%}"
    return None


@contextmanager
def undone(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Give the network's buffers (the norms' statistics) and the random states back as they were."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


@contextmanager
def exact_convolutions(device: torch.device) -> Iterator[None]:
    """No TensorFloat-32, which GPUs since Ampere otherwise use for float32."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=torch.backends.cudnn.benchmark, allow_tf32=False):
        yield


def watch(network: nn.Module, step: Callable[[], tuple[Tensor, Tensor]], device: torch.device) -> Seen:
    """What a step that returns loss and logits computes. Nothing but the gradients has changed afterwards."""
    with undone(network, device):
        loss, logits = step()
        return see(network, loss=loss, logits=logits)
