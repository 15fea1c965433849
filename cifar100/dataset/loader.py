"""Batches of training images in an order that is a function of (seed, epoch)."""

import os
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cifar100.dataset.augment_image import ImageAugmentation, make_generator
from cifar100.dataset.cifar import Images
from cifar100.errors import UserError, brief
from cifar100.parallel import ALONE, Group
from cifar100.recipe import Recipe

Batch = tuple[Tensor, Tensor, Tensor]  # images (B, 32, 32, 3) uint8, labels (B,) int64, indices (B,) int64


class TrainingLoader:
    """Every image once per epoch, shuffled; the last batch may be smaller. Each process of a group gets its share.

    With the "device" pipeline and no workers the training set is on the device as uint8 (150 MB). Otherwise batches
    are made on the CPU, the same for any number of workers.
    """

    def __init__(
        self, data: Images, recipe: Recipe, device: torch.device, num_workers: int | None = None, group: Group = ALONE
    ):
        """num_workers: None chooses them for the device. Raises UserError if a batch is larger than the set, or for
        a negative number of workers."""
        if recipe.batch_size > len(data):
            raise UserError(
                f"A batch must have at most {len(data):,} images, not {recipe.batch_size}: lower --batch-size."
            )
        by_image = recipe.augmentation.pipeline == "albumentations"
        if num_workers is None:  # on the CPU they would compete with the network for its cores
            num_workers = min(16, count_cores()) if by_image and device.type == "cuda" else 0
        if num_workers < 0:
            raise UserError(f"The number of workers must be 0 or more, not {num_workers}.")
        self.count, self.batch_size, self.seed, self.device = len(data), recipe.batch_size, recipe.seed, device
        self.num_workers, self.group = num_workers, group
        place = "cpu" if by_image or num_workers else device
        images, labels = (torch.from_numpy(part).to(place) for part in (data.images, data.fine))
        augmentation = ImageAugmentation(recipe.augmentation, recipe.seed) if by_image else None
        self.order: list[tuple[int, Tensor]] = []  # (epoch, indices) of each batch; filled in each epoch
        self.batches = DataLoader(
            Batches(images, labels, augmentation),
            sampler=self.order,
            batch_size=None,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=num_workers > 0 and device.type == "cuda",
            generator=torch.Generator(),  # otherwise it would advance torch's own, which dropout uses
            worker_init_fn=use_one_thread,
        )

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self.count // self.batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yields the epoch's batches on the device. Raises UserError if a worker dies."""
        order = torch.randperm(self.count, generator=make_generator(self.seed, epoch, 2))
        order = order.to(self.batches.dataset.images.device).split(self.batch_size)
        self.order[:] = [(epoch, self.group.share(indices)) for indices in order]
        try:
            for batch in self.batches:
                yield tuple(part.to(self.device, non_blocking=True) for part in batch)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            died = f"A process that prepares batches has died ({brief(error)})"
            raise UserError(f"{died}: lower --num-workers, or free memory, and continue with --resume.") from error


def count_cores() -> int:
    """The cores that this process may use; the processes of torchrun share those of the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def use_one_thread(worker: int) -> None:
    """There are as many workers as cores; OpenCV would start more threads in each of them."""
    import cv2

    cv2.setNumThreads(0)


class Batches(Dataset):
    """Whole batches by (epoch, indices), with an optional augmentation of each image."""

    def __init__(self, images: Tensor, labels: Tensor, augmentation: ImageAugmentation | None):
        self.images, self.labels, self.augmentation = images, labels, augmentation

    def __getitem__(self, key: tuple[int, Tensor]) -> Batch:
        epoch, indices = key
        images, labels = self.images[indices], self.labels[indices]
        if self.augmentation is not None:
            for image, index in zip(images.numpy(), indices.tolist()):
                image[:] = self.augmentation(image, epoch, index)
        return images, labels, indices
