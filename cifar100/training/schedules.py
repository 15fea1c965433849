"""The learning rate of each step: the schedule of a recipe."""

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


def make_scheduler(optimizer: Optimizer, recipe: Recipe, steps_per_epoch: int) -> LRScheduler:
    """The recipe's schedule; call `step` after every training step. The factor on the learning rate in step s of S, of
    which w are warm-up:

    multistep: gamma ** (number of milestones passed)
    cosine: linear from 1/w to 1, then (1 + cos(pi * (s - w) / (S - w))) / 2
    onecycle: half a cosine from 1/25 up to 1 in the warm-up, then half a cosine down to 4e-6
    triangle: linear from 0 to 1 in the warm-up, then linear to 0
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
        # cycle_momentum would replace the recipe's momentum by values from 0.85 to 0.95.
        return OneCycleLR(optimizer, rates, total_steps=total, pct_start=recipe.warmup, cycle_momentum=False)
    return LambdaLR(optimizer, lambda step: triangle(step, total, recipe.warmup))


def triangle(step: int, total: int, warmup: float) -> float:
    """The factor in a step, counted from 0, at the middle of the step, so that it is never 0."""
    progress = (step + 0.5) / total
    return progress / warmup if progress < warmup else max(0.0, (1 - progress) / (1 - warmup))
