"""Several processes that train one run together, each on its own GPU or share of the processor.

Every process takes its share of each batch, DistributedDataParallel averages the gradients, and every process makes the
same step. Where one process ends, torchrun ends the others. What a recipe means stays: `batch_size` is that of all
processes together, norms take their statistics over all of it, and order and augmentation are those of a single
process. What differs: CutMix and mixup mix within a process's share, dropout draws anew in each. Only the first writes
and prints.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cifar100 import device as devices
from cifar100.errors import UserError, brief
from cifar100.recipe import Recipe

Result = TypeVar("Result")
TIMEOUT = timedelta(minutes=30)  # for a slow process: it may download the data, or compile
# Seconds before a process may end: one of gloo's threads that gives back its last tensor to an interpreter that is
# ending aborts the process, and no call waits for these threads while something still holds the group.
SETTLING = 0.5
LOST = (
    "Another process of this run has ended, so this one stops: look for what that one said, and continue with "
    "--resume; finished epochs are kept."
)


@dataclass(frozen=True)
class Group:
    """This process's place among those that train one run. By default it is alone, and nothing is exchanged.

    All processes have to call the methods in the same order.
    """

    rank: int = 0  # the first, 0, is the one that writes and prints
    size: int = 1
    local_rank: int = 0  # among the processes on this machine

    def say(self, text: str) -> None:
        """Print a line, once for all processes."""
        if self.rank == 0:
            print(text, flush=True)

    def first(self, work: Callable[[], Result]) -> Result:
        """What `work` returns in the first process, which alone does it. Its UserError ends all."""
        if self.size == 1:
            return work()
        answer, message = attempt(work) if self.rank == 0 else (None, None)
        answer, message = self.broadcast((answer, message))
        self.end_at(message)
        return answer

    def each(self, work: Callable[[], Result]) -> Result:
        """What `work` returns here. A UserError of one process ends all."""
        if self.size == 1:
            return work()
        result, message = attempt(work)
        messages: list[str | None] = [None] * self.size
        dist.all_gather_object(messages, message)
        self.end_at(next(filter(None, messages), None))
        return result

    def end_at(self, message: str | None) -> None:
        """Where there is a message, the same in all processes, raise it in the first as a UserError; the others end in
        silence, a moment later, lest torchrun ends the first before it has spoken."""
        if message and self.rank > 0:
            time.sleep(2 * SETTLING)
            sys.exit(2)
        if message:
            raise UserError(message)

    def each_machine_first(self, work: Callable[[], Result]) -> Result:
        """`each`, one process of each machine before its others: it may download what they will find."""
        early = self.each(lambda: work() if self.local_rank == 0 else None)
        return self.each(lambda: early if self.local_rank == 0 else work())

    def broadcast(self, value: Result) -> Result:
        """The first process's value. Tensors in it have to lie on the CPU."""
        if self.size == 1:
            return value
        values = [value if self.rank == 0 else None]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes. values: on the CPU."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def smallest(self, value: int) -> int:
        """The smallest of the processes' values."""
        if self.size == 1:
            return value
        shared = torch.tensor(value)
        dist.all_reduce(shared, dist.ReduceOp.MIN)
        return int(shared)

    def share(self, items: Result) -> Result:
        """This process's share of an array, a tensor or a list: every `size`-th item, from its rank on."""
        return items[self.rank :: self.size]

    def unite(self, part: Tensor, count: int) -> Tensor:
        """Put the `share`s of `count` rows together again, each row in its place. part: on the CPU."""
        if self.size == 1:
            return part
        padded = part.new_zeros(-(-count // self.size), *part.shape[1:])  # shares differ by a row at most
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, 1).flatten(0, 1)[:count]

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes; itself where there is but one.

        From here on all processes have the first one's parameters and buffers.
        """
        return DistributedDataParallel(module) if self.size > 1 else module

    def copy_first(self, network: nn.Module) -> None:
        """Give all processes the first one's parameters and buffers."""
        if self.size > 1:
            state = {name: value.cpu() for name, value in network.state_dict().items()}
            network.load_state_dict(self.broadcast(state))

    def choose_device(self, name: str | None) -> torch.device:
        """The named device, or the best; with several processes the GPU that has this one's number, or the CPU.

        Raises UserError if it is not there.
        """
        if self.size == 1 or name == "cpu":
            return devices.choose_device(name)
        if name not in (None, "cuda"):
            raise UserError(
                f"Several processes cannot share {name}, each takes the GPU of its number: leave out --device, "
                "or say --device cpu."
            )
        gpus = torch.cuda.device_count()
        if name is None and not gpus:
            return devices.choose_device("cpu")
        if self.local_rank >= gpus:
            raise UserError(
                f"This machine has {gpus} GPUs, too few for process {self.local_rank + 1}: start one process a GPU, "
                "or say --device cpu."
            )
        torch.cuda.set_device(self.local_rank)
        return devices.choose_device(f"cuda:{self.local_rank}")

    def check_batches(self, recipe: Recipe, images: int) -> None:
        """Raises UserError if a process would have no image in some batch. images: in the training set."""
        size, last = recipe.batch_size, images % recipe.batch_size
        if last and recipe.epochs * -(-images // size) > images // size:  # the epoch's last batch is reached
            size = last
        if size < self.size:
            raise UserError(
                f"A batch of {recipe.name} has only {size} images, too few for {self.size} processes: start fewer, or "
                "choose another --batch-size."
            )


ALONE = Group()


def attempt(work: Callable[[], Result]) -> tuple[Result | None, str | None]:
    """What `work` returns, or else the message of its UserError."""
    try:
        return work(), None
    except UserError as error:
        return None, str(error)


@contextmanager
def joined() -> Iterator[Group]:
    """The group of the processes that torchrun has started, this one among them; without torchrun, this one alone.

    Raises UserError if the others cannot be reached, or one of them has ended.
    """
    variables = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if os.environ.get("WORLD_SIZE", "1") == "1" or not all(name in os.environ for name in variables):
        yield ALONE
        return
    try:
        if not int(os.environ["RANK"]) < int(os.environ["WORLD_SIZE"]):  # for which it would wait
            raise ValueError(f"RANK {os.environ['RANK']} is none of {os.environ['WORLD_SIZE']}, counted from 0")
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)
        group = Group(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", dist.get_rank())))
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"The processes of this run did not come together ({brief(error)}): start all of them by torchrun, with "
            "the same address."
        ) from error
    try:
        yield group
        group.broadcast(None)  # nobody leaves before all have finished
    except RuntimeError as error:  # gloo raises a plain one where a connection breaks
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise UserError(LOST) from error
        raise
    finally:
        time.sleep(SETTLING)
    dist.destroy_process_group()
    time.sleep(SETTLING)
