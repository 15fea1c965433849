"""A whole training step as one CUDA graph: augmentation, forward and backward pass, and all optimizers.

A small network keeps a large GPU waiting for the launches of its kernels. A graph is launched once a step. It reads
and writes at fixed places in memory, so what changes from step to step (the batch, the augmentation's draws, the
learning rates) is copied to such places first. One graph is recorded for each size of the pictures.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import SGD

from cifar100.errors import brief
from cifar100.recipe import Recipe
from cifar100.training.proof import Seen, exact_convolutions, find_difference, see
from cifar100.training.trainer import Trainer, make_inputs, update

WARM_UP = 3  # steps before the recording: kernels are chosen and the optimizers' states made in them

Work = Callable[[], tuple[Tensor, Tensor]]


def choose_step(trainer: Trainer, backend: str, say: Callable[[str], None] = print) -> None:
    """Let the trainer take its steps as a CUDA graph ("capture"), or as a backend of torch.compile has them.

    "auto" is "capture" for `sprint` on a GPU, whose run ends before a compiler would have paid, and else as
    `LossStep.compile` has it. What is asked for and not possible is said.
    """
    recipe, cuda = trainer.recipe, trainer.device.type == "cuda"
    if backend != "capture" and not (backend == "auto" and cuda and recipe.network == "sprint"):
        trainer.loss_step.compile(backend, say)
        return
    obstacles = {
        "there is no CUDA GPU": not cuda,
        "several processes exchange their gradients": trainer.group.size > 1,
        "float16 needs its gradients scaled": trainer.scaler.is_enabled(),
        f"the batches of {recipe.name} are made on the CPU": recipe.augmentation.pipeline != "device",
        "worker processes prepare the batches": trainer.loader.num_workers > 0,
        f"{recipe.name} mixes or drops out at random": not suits(recipe),
    }
    reason = next((reason for reason, holds in obstacles.items() if holds), None)
    if reason:
        say(f"The training step is not recorded as a CUDA graph and runs kernel by kernel: {reason}.")
        return
    trainer.captured = CapturedStep(trainer, say)
    say("The training step is recorded as a CUDA graph for each size of the pictures.")


def suits(recipe: Recipe) -> bool:
    """Whether a step is the same work for every batch, without choices on the CPU."""
    return recipe.augmentation.cutmix_alpha is None and recipe.augmentation.mixup_alpha is None and recipe.dropout == 0


def record_graph(work: Work) -> Work:
    """The work, recorded on a CUDA stream: each call repeats it and returns the same two tensors, filled anew."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph):
            outputs = work()
    except BaseException:
        torch.cuda.set_stream(before)  # older releases stay on the recording's own stream
        raise

    def replay() -> tuple[Tensor, Tensor]:
        graph.replay()
        return outputs

    return replay


class CapturedStep:
    """Takes the steps of a trainer. Equal to the plain step but for rounding, which is tried with the first batch of
    each size: SGD is the fused one here.

    record: makes a function that repeats the work that it is given (see `record_graph`), which may do the work itself
    before: weights and optimizers are put back afterwards. say: is told where the plain step has to serve.
    """

    def __init__(self, trainer: Trainer, say: Callable[[str], None], record: Callable[[Work], Work] = record_graph):
        self.trainer, self.say, self.record = trainer, say, record
        device, size = trainer.device, trainer.recipe.batch_size
        self.images = torch.empty(size, 32, 32, 3, dtype=torch.uint8, device=device)
        self.labels = torch.empty(size, dtype=torch.int64, device=device)
        self.indices = torch.empty(size, dtype=torch.int64, device=device)
        self.rates = [torch.empty((), device=device) for _ in self.groups]  # one a group, in their order
        self.proven: dict[
            int, Work
        ] = {}  # replays that compute what the plain step does, by the pictures' side in pixels
        self.refused: str | None = None  # why the plain step serves

    @property
    def groups(self) -> list[dict]:
        """The optimizers' groups; asked for each time, since a checkpoint that is loaded brings new ones."""
        return [group for optimizer in self.trainer.optimizers for group in optimizer.param_groups]

    def __call__(self, images: Tensor, labels: Tensor, indices: Tensor, pixels: int) -> tuple[Tensor, Tensor] | None:
        """Take the step of a batch. Returns the mean loss and the number of correct predictions, valid until the next
        step; None, and nothing has changed, where the plain step has to serve: for a smaller batch, or after a failure.
        """
        if self.refused or len(labels) != len(self.labels):
            return None
        for place, values in ((self.images, images), (self.labels, labels), (self.indices, indices)):
            place.copy_(values)
        for rate, group in zip(self.rates, self.groups):
            rate.fill_(group["lr"])
        if pixels not in self.proven and not self.prepare(pixels):
            return None
        return self.proven[pixels]()

    def prepare(self, pixels: int) -> bool:
        """Record the step for a size of pictures, and compare it with the plain one. False, said aloud, if it fails, or
        computes something else."""

        def work() -> tuple[Tensor, Tensor]:
            return update(self.trainer, make_inputs(self.trainer, self.images, self.indices, pixels), self.labels)

        try:
            with self.unchanged(), self.rates_in_memory():
                replay = self.record(work)
            difference = self.compare(work, replay)
            wrong = difference and f"does not compute the same as a CUDA graph ({difference})"
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # a driver, a library or a kernel may refuse to be recorded in any way
            wrong = f"could not be recorded as a CUDA graph ({brief(error)})"
        if wrong:
            self.give_up(wrong)
            return False
        self.proven[pixels] = replay
        return True

    def compare(self, work: Work, replay: Work) -> str | None:
        """What a replay computes otherwise than the plain step does with the same batch and weights; None if nothing.
        The replay comes first: the parameters still hold the gradients to which it writes."""
        replayed, plain = self.watch(replay), self.watch(work)
        with exact_convolutions(self.trainer.device), self.trainer.loss_step.in_float32():
            exact = self.watch(work)
        return find_difference(exact, plain, replayed)

    def watch(self, step: Work) -> Seen:
        """What a step computes: loss, gradients, and how it moves the weights. Afterwards all is as it was."""
        network = self.trainer.network
        with self.unchanged():
            before = [parameter.detach().clone() for parameter in network.parameters()]
            loss, _ = step()
            moves = [(after - old).flatten() for after, old in zip(network.parameters(), before)]
            return see(network, loss=loss, **{"step of the weights": torch.cat(moves)})

    def give_up(self, reason: str) -> None:
        """Leave the steps to the plain one, and say so."""
        self.refused = reason
        self.say(f"The training step {reason}: the plain one serves, kernel by kernel.")

    @contextmanager
    def rates_in_memory(self) -> Iterator[None]:
        """Let the optimizers read their learning rates from memory; SGD can do so only when it is fused."""
        groups = self.groups
        before = [dict(group) for group in groups]
        for group, rate in zip(groups, self.rates):
            group["lr"] = rate
        for optimizer in self.trainer.optimizers:
            if isinstance(optimizer, SGD):
                for group in optimizer.param_groups:
                    group.update(fused=True, foreach=False)
        try:
            yield
        finally:
            for group, old in zip(groups, before):
                group.update({name: old[name] for name in ("lr", "fused", "foreach") if name in old})

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Give weights, statistics and momenta back as they were; a momentum that was made meanwhile becomes zero,
        which is what it starts from."""
        before = {id(tensor): (tensor, tensor.clone()) for tensor in self.state()}
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor in self.state():
                    if id(tensor) in before:
                        tensor.copy_(before[id(tensor)][1])
                    else:
                        tensor.zero_()

    def state(self) -> list[Tensor]:
        """All that a step changes."""
        network = self.trainer.network
        momenta = [
            value
            for optimizer in self.trainer.optimizers
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ]
        return [*network.parameters(), *network.buffers(), *momenta]
