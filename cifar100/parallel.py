"""One run in several processes, as torchrun starts them: each on its own GPU, or on its share of a processor.

Every process takes its share of each batch, DistributedDataParallel averages the gradients, and every process takes the
same step. `batch_size` is that of all processes together; order and augmentation are those of a single process. CutMix
mixes within a process's share, and dropout draws anew in each. Only rank 0 writes and prints. A process that fails ends
alone, and torchrun ends the others.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cifar100.errors import UserError, brief

Item = TypeVar("Item")
PATIENCE = timedelta(minutes=2)  # until the processes have to have found one another
TIMEOUT = timedelta(minutes=30)  # for a slow one later: it may download the data, or compile


@dataclass(frozen=True)
class Group:
    """This process's place among those that train one run; by default it is alone. All processes have to call the
    methods in the same order. Tensors that are exchanged lie on the CPU."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among the processes of this machine

    def share(self, items: Item) -> Item:
        """This process's share of an array, a tensor or a list: every `size`-th item, from its rank on."""
        return items[self.rank :: self.size]

    def broadcast(self, value: Item) -> Item:
        """Rank zero's value."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.sum(torch.zeros(1))

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over the processes, and on GPUs its batch norms' statistics too."""
        if self.size == 1:
            return network
        if next(network.parameters()).is_cuda:  # nn.SyncBatchNorm has no version for CPUs
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return DistributedDataParallel(network)


ALONE = Group()


@contextmanager
def joined() -> Iterator[Group]:
    """The group of the processes that torchrun has started; without torchrun, this process alone. Raises UserError if
    the others do not come within two minutes."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    print(f"Process {os.environ.get('RANK')} of {size} waits for the others at {place}.", flush=True)
    failures: list[Exception] = []
    # In a thread, since the call waits in C++, where Python hears neither Ctrl-C nor another signal.
    thread = threading.Thread(target=start, args=(failures,), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if failures:
        raise UserError(
            f"The {size} processes of this run did not come together at {place} ({brief(failures[0])}): start all of "
            "them by torchrun, with the same address."
        )
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", dist.get_rank())))
        dist.barrier()  # nobody leaves before all have finished
    finally:
        dist.destroy_process_group()


def start(failures: list[Exception]) -> None:
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    except Exception as error:  # of the store, of gloo, of the environment's numbers: each raises its own kind
        failures.append(error)
