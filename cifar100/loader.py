"""Batches of training images in an order that (seed, epoch) alone decides."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cifar100.augment import make_generator
from cifar100.data import Images


class TrainingLoader:
    """Every image once an epoch, shuffled; the last batch may be smaller.

    Without workers the whole set lies on the device as uint8 (150 MB) and a batch is a look-up.
    With workers they fetch the batches ahead; the batches are the same.
    """

    def __init__(self, data: Images, batch_size: int, seed: int, device: torch.device, num_workers: int = 0):
        self.count, self.batch_size, self.seed, self.device = len(data), batch_size, seed, device
        self.images, self.labels = torch.from_numpy(data.images), torch.from_numpy(data.fine)
        self.workers = None
        if num_workers == 0:
            self.images, self.labels = self.images.to(device), self.labels.to(device)
        else:
            self.order: list[Tensor] = []  # the workers' sampler, filled anew each epoch
            self.workers = DataLoader(
                Batches(self.images, self.labels),
                sampler=self.order,
                batch_size=None,
                num_workers=num_workers,
                persistent_workers=True,
                generator=torch.Generator(),  # its draws would move torch's own, which dropout uses
                pin_memory=device.type == "cuda",
            )

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-self.count // self.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields images (B, 32, 32, 3) uint8, labels (B,) int64 and indices (B,) int64, on the device."""
        order = torch.randperm(self.count, generator=make_generator(self.seed, epoch, 2)).split(self.batch_size)
        if self.workers is None:
            for indices in order:
                indices = indices.to(self.device)
                yield self.images[indices], self.labels[indices], indices
        else:
            self.order[:] = order
            for batch in self.workers:
                yield tuple(part.to(self.device, non_blocking=True) for part in batch)


class Batches(Dataset):
    """Whole batches by the indices in them, for the workers of a DataLoader."""

    def __init__(self, images: Tensor, labels: Tensor):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.images[indices], self.labels[indices], indices
