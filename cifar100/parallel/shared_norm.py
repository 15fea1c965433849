"""Batch norms whose statistics are those of a whole batch, of which each process holds a share."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SumOfShares(torch.autograd.Function):
    """The sum over the processes, through which gradients flow: each one's share moves every process's loss."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return SumOfShares.forward(ctx, gradient)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """nn.SyncBatchNorm does the same, but has no version for CPUs. The shares may differ in size."""

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> the same
        if not self.training:
            return super().forward(x)
        values = x.to(self.weight.dtype)  # half precision would lose the statistics
        own_count = values.new_tensor([values.numel() / values.size(1)])
        sums = SumOfShares.apply(torch.cat((values.sum((0, 2, 3)), own_count)))
        count = sums[-1].detach()  # values of a channel, in all shares
        mean = sums[:-1] / count
        centred = values - mean[:, None, None]
        variance = SumOfShares.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():  # as nn.BatchNorm2d has it: the running variance is the unbiased one
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def share_norms(network: nn.Module) -> None:
    """Let all batch norms of a network share their statistics. Parameters, buffers and names stay as they are."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d
