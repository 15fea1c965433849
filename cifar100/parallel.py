"""One training run in several processes, started by torchrun: one per GPU, or several on the CPU.

Each process computes its share of every batch, and DistributedDataParallel averages the gradients. `batch_size` is that
of all processes together; order and augmentation are those of a single process. CutMix mixes within a process's share,
and each process has its own dropout. Only rank 0 writes and, once all are connected, prints. If a process fails,
torchrun ends the others.
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
PATIENCE = timedelta(minutes=2)  # for all processes to connect
TIMEOUT = timedelta(minutes=30)  # later, for a slow process: it may be downloading the data


@dataclass(frozen=True)
class Group:
    """The processes that train one run together, as one of them sees it; by default there is only one. All processes
    must call the methods in the same order. Tensors that are exchanged are on the CPU."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among the processes of this machine

    def share(self, items: Item) -> Item:
        """This process's share of an array, a tensor or a list: every `size`-th item, starting at its rank."""
        return items[self.rank :: self.size]

    def broadcast(self, value: Item) -> Item:
        """The value of rank 0."""
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
        """Wait until all processes have called this."""
        self.sum(torch.zeros(1))

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over the processes; on GPUs also with the batch norm statistics."""
        if self.size == 1:
            return network
        if next(network.parameters()).is_cuda:  # nn.SyncBatchNorm has no version for CPUs
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return DistributedDataParallel(network)


ALONE = Group()


@contextmanager
def joined() -> Iterator[Group]:
    """The group of the processes that torchrun has started; without torchrun, this process alone. Raises UserError if
    they do not all connect within two minutes."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    print(f"Rank {os.environ.get('RANK')} of {size} waits for the other processes at {place}.", flush=True)
    failures: list[Exception] = []
    # In a thread, because the call waits in C++, where Python does not handle Ctrl-C or other signals.
    thread = threading.Thread(target=start, args=(failures,), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if failures:
        raise UserError(
            f"The {size} processes of this run did not connect at {place} ({brief(failures[0])}): start all of them by "
            "torchrun, with the same address."
        )
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", dist.get_rank())))
        dist.barrier()  # no process exits before all have finished
    finally:
        dist.destroy_process_group()


def start(failures: list[Exception]) -> None:
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    except Exception as error:  # the store, gloo and parsing the environment raise different kinds
        failures.append(error)
