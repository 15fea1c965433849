"""Say which batch fits where a GPU has too little memory for the one that was asked for."""

import gc
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from cifar100.dataset.augment_image import to_input
from cifar100.errors import UserError
from cifar100.training.trainer import Trainer, mix, train_step


@contextmanager
def say_what_fits(trainer: Trainer) -> Iterator[None]:
    """Around training steps: where they run out of the GPU's memory, halve the batch until a step passes.

    Raises UserError then, with the batch that fits and its learning rate. The trials move the weights, so that the
    trainer is of no use afterwards; the checkpoint of the last epoch is.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        recipe = trainer.recipe
        if trainer.group.size > 1:  # a trial would wait for the other processes' gradients
            raise UserError(
                f"A GPU has too little memory for its share of batches of {recipe.batch_size}: train on more of them, or "
                "halve --batch-size and --lr."
            ) from error
        traceback.clear_frames(error.__traceback__)  # they hold the failed step's activations
        trainer.loss_step.compiled = trainer.captured = None
        torch.compiler.reset()  # recorded graphs keep their memory
        fits = fitting_batch(lambda size: try_step(trainer, size), recipe.batch_size)
        raise UserError(describe_fit(recipe.batch_size, fits, recipe.lr)) from error


def fitting_batch(step: Callable[[int], object], batch_size: int) -> int | None:
    """The largest of batch_size / 2, / 4, ..., 1 with which `step` does not run out of a GPU's memory; None if it
    always does."""
    while batch_size > 1:
        batch_size //= 2
        gc.collect()
        torch.cuda.empty_cache()
        try:
            step(batch_size)
            return batch_size
        except torch.cuda.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)
    return None


def try_step(trainer: Trainer, batch_size: int) -> None:
    """One training step on so many pictures of the largest size."""
    data = trainer.loader.dataset
    images, labels = (part[:batch_size].to(trainer.device) for part in (data.images, data.labels))
    train_step(trainer, *mix(to_input(images), labels, trainer.recipe.augmentation))


def describe_fit(batch_size: int, fits: int | None, lr: float) -> str:
    """What to do. The rate goes with the batch (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.1)."""
    if fits is None:
        return (
            "The GPU has too little memory even for one image: close other programs that use it, or say --device cpu."
        )
    return (
        f"The GPU has too little memory for batches of {batch_size}; a step with {fits} passed: train with --batch-size "
        f"{fits} --lr {lr * fits / batch_size:.3g}, which keeps the learning rate in proportion."
    )
