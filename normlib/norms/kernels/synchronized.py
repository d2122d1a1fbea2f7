"""Batch statistics over all processes of the default group, as if their batches were one.

In comes this process's share of a batch (N, C, *positions), which may be empty; out go its standardized values and the statistics
of the whole. One collective operation forward, one backward. This file moves no running statistics.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from normlib.norms.kernels.masked import Standardized, count_valid


def joins_other_processes(norm: Any) -> bool:
    """Whether the next batch statistics of `norm`, which has `sync`, are those of several processes: in training alone."""
    if not norm.sync or not norm.training or not (norm.uses_batch_statistics or norm.update_running):
        return False
    if norm.norm_batch_size is not None:
        raise ValueError(
            f"sync=True takes the statistics over the samples of all processes, norm_batch_size={norm.norm_batch_size} over groups of "
            "them; leave one out: sync=False, or norm_batch_size=None (site.norm_batch_size=null)"
        )
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def standardize_over_processes(x: Tensor, mask: Tensor | None, eps: float) -> Standardized:
    """(x - mean) / sqrt(var + eps) over the samples and positions of all processes, each channel; the gradient reaches across, too.

    Every process has to call this, and to go backward through it, equally often and in the same order. The second derivative
    is not implemented.
    """
    return Standardized(*_OverProcesses.apply(x, mask, eps))


class _OverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [0, *range(2, x.dim())]
        shape = (1, -1) + (1,) * (x.dim() - 2)
        if mask is None:
            count = x.new_full((1,), x.numel() // x.shape[1])
        else:
            count = count_valid(x, mask, axes).flatten().to(x.dtype)
        mean = x.sum(axes) / count.clamp(min=1)
        squares = _centred(x, mean.view(shape), mask).square().sum(axes)
        counts, means, squares = _of_all(torch.cat([count, mean, squares])).split([1, x.shape[1], x.shape[1]], dim=1)
        # Chan, Golub, LeVeque 1983: what each process found about its own mean, and how far that is from the common one.
        total = counts.sum()
        share = counts / total.clamp(min=1)  # (processes, 1)
        mean = (share * means).sum(0)
        var = squares.sum(0) / total.clamp(min=1) + (share * (means - mean).square()).sum(0)
        mean, var = mean.view(shape), var.view(shape)
        rstd = torch.where(total > 0, var + eps, 1).rsqrt()
        x_hat = _centred(x, mean, mask) * rstd
        count = total.view((1,) * x.dim())
        ctx.save_for_backward(x_hat, rstd, count)
        ctx.mark_non_differentiable(count, mean, var)
        return x_hat, count, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, None, None]:
        x_hat, rstd, count = ctx.saved_tensors
        axes = [0, *range(2, x_hat.dim())]
        sums = torch.stack([gradient.sum(axes), (gradient * x_hat).sum(axes)])
        dist.all_reduce(sums)
        shape = (1, -1) + (1,) * (x_hat.dim() - 2)
        mean, mean_of_product = (each.view(shape) for each in sums / count.clamp(min=1).flatten())
        return (gradient - mean - x_hat * mean_of_product) * rstd, None, None


def _centred(x: Tensor, mean: Tensor, mask: Tensor | None) -> Tensor:
    return x - mean if mask is None else (x - mean).masked_fill(~mask, 0)


def _of_all(values: Tensor) -> Tensor:
    """`values` (M,) of all processes, (processes, M), in the order of their ranks."""
    gathered = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, values)
    return torch.stack(gathered)
