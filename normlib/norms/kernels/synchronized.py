"""Values and moments of all processes of the default group, as if their batches were one.

In: this process's share of a batch, which may be empty. Out: the values of all, or their statistics. Every process has
to call this, and to go backward through it, equally often and in the same order. The second derivative is not
implemented.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from normlib.norms.kernels.masked import count_valid


def several_processes() -> bool:
    """Whether this process is one of a group of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_values(values: Tensor) -> Tensor:
    """The rows of `values` (rows, C) of all processes, in the order of their ranks. The gradient reaches them all."""
    gathered: Tensor = _Gathered.apply(values)
    return gathered


def moments_over_processes(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (C,) of `x` (N, C, *positions) over all processes, and the number of values.

    It takes one collective operation forward and one backward. If there is no value, the mean is 0 and the variance 1.
    """
    mean, var, count = _Moments.apply(x, mask)
    return mean, var, count


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        lengths = [int(length) for length in _of_all(torch.tensor([len(values)], device=values.device)).flatten()]
        padded = values.new_zeros(max(lengths), values.shape[1])
        padded[: len(values)] = values
        ctx.start, ctx.length = sum(lengths[: dist.get_rank()]), len(values)
        return torch.cat([rows[:length] for rows, length in zip(_of_all(padded), lengths, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[ctx.start : ctx.start + ctx.length]


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        axes, channels = [0, *range(2, x.dim())], x.shape[1]
        if mask is None:
            count = x.new_full((1,), x.numel() // channels)
        else:
            count = count_valid(x, mask, axes).flatten().to(x.dtype)
        mean = x.sum(axes) / count.clamp(min=1)
        squares = _centred(x, mean, mask).square().sum(axes)
        counts, means, squares = _of_all(torch.cat([count, mean, squares])).split([1, channels, channels], dim=1)
        # Chan, Golub, LeVeque 1983: the sum of squares around each process's own mean, and how far that is from the common mean.
        total = counts.sum()
        share = counts / total.clamp(min=1)  # (processes, 1)
        mean = (share * means).sum(0)
        var = squares.sum(0) / total.clamp(min=1) + (share * (means - mean).square()).sum(0)
        var = torch.where(total > 0, var, 1)
        ctx.save_for_backward(x, mask, mean, total)
        ctx.mark_non_differentiable(total)
        return mean, var, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_mean: Tensor, to_var: Tensor, _: Tensor) -> tuple[Tensor, None]:
        x, mask, mean, total = ctx.saved_tensors
        sums = torch.stack([to_mean, to_var])
        dist.all_reduce(sums)
        shape = (-1,) + (1,) * (x.dim() - 2)
        to_mean, to_var = (each.view(shape) for each in sums / total.clamp(min=1))
        gradient = to_mean + 2 * to_var * _centred(x, mean, mask)
        return (gradient if mask is None else gradient.masked_fill(~mask, 0)), None


def _centred(x: Tensor, mean: Tensor, mask: Tensor | None) -> Tensor:
    centred = x - mean.view((-1,) + (1,) * (x.dim() - 2))
    return centred if mask is None else centred.masked_fill(~mask, 0)


def _of_all(values: Tensor) -> Tensor:
    """The `values` of all processes, stacked in the order of their ranks."""
    gathered = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, values)
    return torch.stack(gathered)
