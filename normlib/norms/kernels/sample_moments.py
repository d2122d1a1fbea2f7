"""Mean and variance of each group of channels of each sample, with a gradient of two passes over memory.

In: tensors (N, C, *positions) in float32 or better. Out: statistics (N, C, 1, ...), the same within a group. This file
knows no norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import may_read_values

# Below about this many values, a call of Python from autograd takes longer (benchmarks/sample_kernels.py --norms evonorm_b0).
LARGE = 2**14


def moments_over_groups(x: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of `x` over its positions and the channels of each group."""
    if not may_read_values(x) or x.numel() < LARGE:
        return moments_formula(x, num_groups)
    if not torch.is_grad_enabled():
        return _measured(x, num_groups)
    mean, var = _Moments.apply(x, num_groups)
    return mean, var


def moments_formula(x: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    """The same in plain steps."""
    mean = _mean_over_groups(x, num_groups)
    return mean, _mean_over_groups((x - mean).square(), num_groups)


def _measured(x: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    mean = _mean_over_groups(x, num_groups)
    return mean, _mean_over_groups((x - mean).square_(), num_groups)


def _mean_over_groups(x: Tensor, num_groups: int) -> Tensor:
    if x.dim() > 2:
        x = x.mean(tuple(range(2, x.dim())), keepdim=True)  # (N, C, 1, ...)
    if num_groups == x.shape[1]:
        return x
    group_size = x.shape[1] // num_groups
    return x.unflatten(1, (num_groups, group_size)).mean(2).repeat_interleave(group_size, dim=1)


class _Moments(torch.autograd.Function):
    """The backward pass consists of steps that autograd can follow again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
        mean, var = _measured(x, num_groups)
        ctx.save_for_backward(x, mean)
        ctx.num_groups = num_groups
        return mean, var

    @staticmethod
    def backward(ctx: Any, to_mean: Tensor, to_var: Tensor) -> tuple[Tensor, None]:
        x, mean = ctx.saved_tensors
        # the channels of a group share their statistics: the mean of a group's gradients, over its positions
        to_mean, to_var = (_mean_over_groups(each, ctx.num_groups) for each in (to_mean, to_var))
        count = x.numel() // mean.numel()
        centred, slope = x - mean, to_var * (2 / count)
        # the rounding of the mean, a hundredth of a spread at mean 1000
        left = _mean_over_groups(centred, ctx.num_groups)
        return centred * slope + (to_mean / count - slope * left), None
