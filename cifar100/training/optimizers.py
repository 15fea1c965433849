"""The optimizers of a recipe."""

from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from cifar100.recipe import Recipe


class Muon(Optimizer):
    """SGD with momentum whose updates are orthogonalised, for the filters of convolutions.

    Jordan 2024, "Muon" (kellerjordan.github.io/posts/muon), as in cifar10-airbench: a filter
    bank (out, in, h, w) is treated as a matrix (out, in * h * w), and is scaled to the norm
    sqrt(out) before each step. torch.optim.Muon takes matrices only. dtype: of the
    orthogonalisation; the source uses bfloat16, in less than half the time on some hardware.
    """

    def __init__(self, params, lr: float, momentum: float = 0.6, dtype=torch.float32):
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            alike = defaultdict(list)  # on a GPU, banks of the same shape are updated together
            for filters in group["params"]:
                if filters.grad is not None:
                    alike[filters.shape if filters.is_cuda else id(filters)].append(filters)
            for banks in alike.values():
                self.step_alike(banks, group["lr"], group["momentum"])

    def step_alike(self, banks: list[Tensor], lr: float, momentum: float) -> None:
        """Update filter banks of the same shape, as one batch of matrices."""
        gradients = [filters.grad for filters in banks]
        for filters in banks:
            if "momentum_buffer" not in self.state[filters]:
                self.state[filters]["momentum_buffer"] = torch.zeros_like(filters)
        velocities = [self.state[filters]["momentum_buffer"] for filters in banks]
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(velocities, gradients)
        directions = torch._foreach_add(gradients, velocities, alpha=momentum)  # Nesterov
        direction = torch.stack(directions) if len(banks) > 1 else directions[0]
        update = orthogonalise(direction.flatten(-3), dtype=self.dtype)
        scale = len(banks[0]) ** 0.5 / torch.stack(torch._foreach_norm(banks))
        torch._foreach_mul_(banks, list(scale.unbind()))
        torch._foreach_sub_(banks, list(update.view(-1, *banks[0].shape).unbind()), alpha=lr)


def orthogonalise(matrices: Tensor, steps: int = 3, dtype=torch.float32) -> Tensor:
    """Move the singular values towards 1 with quintic Newton-Schulz iterations, in `dtype`.

    matrices: (M, K) float32, or a batch (B, M, K) of them; the result has the same shape. The
    coefficients trade accuracy for speed: singular values above a hundredth of the norm end
    between about 0.4 and 1.2, smaller ones below.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    add_product = torch.addmm if matrices.ndim == 2 else torch.baddbmm
    tall = matrices.size(-2) > matrices.size(-1)
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(steps):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).float()


def make_optimizers(network: nn.Module, recipe: Recipe, dtype=torch.float32) -> list[Optimizer]:
    """SGD, and Muon for the filters of convolutions if the recipe has a rate for it."""
    trained = [p for p in network.parameters() if p.requires_grad]
    filters = [p for p in trained if p.ndim == 4] if recipe.muon_lr else []
    chosen = {id(p) for p in filters}
    weights = [p for p in trained if p.ndim > 1 and id(p) not in chosen]
    norms_and_biases = [p for p in trained if p.ndim <= 1]
    decay = recipe.weight_decay
    groups = [
        {"params": weights, "weight_decay": decay},
        {"params": norms_and_biases, "weight_decay": decay * recipe.norm_weight_decay},
    ]
    sgd = SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)
    optimizers: list[Optimizer] = [sgd]
    if filters:
        optimizers.append(Muon(filters, recipe.muon_lr, recipe.muon_momentum, dtype))
    return optimizers
