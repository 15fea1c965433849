"""The learning rate of each step: the schedule that a recipe names."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from cifar100.recipe import Recipe


def make_schedulers(optimizers: list[Optimizer], recipe: Recipe, steps_per_epoch: int) -> list[LRScheduler]:
    """The recipe's schedule for each optimizer, to be stepped once a training step."""
    return [make_scheduler(optimizer, recipe, steps_per_epoch) for optimizer in optimizers]


def make_scheduler(optimizer: Optimizer, recipe: Recipe, steps_per_epoch: int) -> LRScheduler:
    """Step s of S, w of them warm-up, multiplies the optimizer's rate by

    multistep: gamma to the power of the milestones that lie behind
    cosine: from 1/w to 1 in a line, then (1 + cos(pi * (s - w) / (S - w))) / 2
    onecycle: half a cosine from 1/25 up to 1 over the warm-up, half a cosine down to 4e-6
    triangle: in a line from 0 to 1 over the warm-up, then in a line to 0
    """
    total = math.ceil(recipe.epochs * steps_per_epoch)
    rising = round(recipe.warmup * total)
    if recipe.schedule == "multistep":
        return MultiStepLR(optimizer, [round(m * steps_per_epoch) for m in recipe.milestones], recipe.gamma)
    if recipe.schedule == "cosine":
        falling = CosineAnnealingLR(optimizer, total - rising)
        if not rising:
            return falling
        return SequentialLR(optimizer, [LinearLR(optimizer, 1 / rising, total_iters=rising), falling], [rising])
    if recipe.schedule == "onecycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        # cycle_momentum would replace the recipe's momentum by 0.85 to 0.95.
        return OneCycleLR(optimizer, rates, total_steps=total, pct_start=recipe.warmup, cycle_momentum=False)
    return LambdaLR(optimizer, lambda step: triangle(step, total, recipe.warmup))


def triangle(step: int, total: int, warmup: float) -> float:
    """The factor in a step, the first being 0: taken in its middle, so that none is wasted at rate 0."""
    progress = (step + 0.5) / total
    return progress / warmup if progress < warmup else max(0.0, (1 - progress) / (1 - warmup))
