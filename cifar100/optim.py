"""The optimizers and the learning-rate schedule that a recipe names."""

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cifar100.recipe import Recipe


class Muon(Optimizer):
    """Momentum whose update is made orthogonal, for the filters of convolutions.

    Jordan 2024, "Muon" (kellerjordan.github.io/posts/muon), as in cifar10-airbench: a filter bank
    (out, in, h, w) counts as a matrix (out, in * h * w), and is scaled to the norm sqrt(out)
    before each step. torch.optim.Muon takes matrices only.
    """

    def __init__(self, params, lr: float, momentum: float = 0.6):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for filters in group["params"]:
                if filters.grad is None:
                    continue
                state = self.state[filters]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(filters)
                velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(filters.grad)
                direction = filters.grad.add(velocity, alpha=group["momentum"])  # Nesterov
                filters.mul_(len(filters) ** 0.5 / filters.norm())
                filters.sub_(orthogonalise(direction.flatten(1)).view(filters.shape), alpha=group["lr"])


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """Move all singular values towards 1 by Newton-Schulz steps of fifth order. matrix: (M, K) float32.

    The coefficients trade accuracy for speed: the values end between about 0.5 and 1.5.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.size(0) > matrix.size(1) else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.size(0) > matrix.size(1) else x


def make_optimizers(model: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """SGD, and Muon for the convolutions' filters where the recipe has a rate for it."""
    trained = [p for p in model.parameters() if p.requires_grad]
    filters = [p for p in trained if p.ndim == 4] if recipe.muon_lr else []
    chosen = {id(p) for p in filters}
    weights = [p for p in trained if p.ndim > 1 and id(p) not in chosen]
    norms_and_biases = [p for p in trained if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": norms_and_biases, "weight_decay": recipe.weight_decay if recipe.norm_weight_decay else 0.0},
    ]
    optimizers: list[Optimizer] = [SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)]
    if filters:
        optimizers.append(Muon(filters, lr=recipe.muon_lr, momentum=recipe.muon_momentum))
    return optimizers


def lr_factor(recipe: Recipe, step: int, total_steps: int) -> float:
    """What every learning rate is multiplied by in a step (the first is 0).

    "triangle": rises in a line over the warm-up, then falls in a line towards 0.
    """
    progress = (step + 0.5) / total_steps  # the middle of the step: neither end wastes one at rate 0
    if progress < recipe.warmup:
        return progress / recipe.warmup
    return max(0.0, (1 - progress) / (1 - recipe.warmup))


def make_schedulers(optimizers: list[Optimizer], recipe: Recipe, total_steps: int) -> list[LambdaLR]:
    """One for each optimizer; all follow the same factor."""
    return [LambdaLR(optimizer, lambda step: lr_factor(recipe, step, total_steps)) for optimizer in optimizers]
