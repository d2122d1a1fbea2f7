"""Mean and variance of each channel of each sample over its positions, with a gradient of two passes over memory.

In come tensors (N, C, *positions) in float32 or better; out go statistics (N, C, 1, ...). This file knows no norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import may_read_values

# Below about so many values a call of Python from autograd takes longer (benchmarks/sample_kernels.py --norms evonorm_b0).
LARGE = 2**14


def moments_over_positions(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of `x` over its positions."""
    if x.dim() == 2 or not may_read_values(x) or x.numel() < LARGE:
        return moments_formula(x)
    if not torch.is_grad_enabled():
        return _measured(x)
    mean, var = _Moments.apply(x)
    return mean, var


def moments_formula(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same in plain steps."""
    positions = tuple(range(2, x.dim()))
    if not positions:
        return x, torch.zeros_like(x)
    mean = x.mean(positions, keepdim=True)
    return mean, (x - mean).square().mean(positions, keepdim=True)


def _measured(x: Tensor) -> tuple[Tensor, Tensor]:
    positions = tuple(range(2, x.dim()))
    mean = x.mean(positions, keepdim=True)
    return mean, (x - mean).square_().mean(positions, keepdim=True)


class _Moments(torch.autograd.Function):
    """The backward pass is steps that autograd can follow again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = _measured(x)
        ctx.save_for_backward(x, mean)
        return mean, var

    @staticmethod
    def backward(ctx: Any, to_mean: Tensor, to_var: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        count = x.numel() // mean.numel()
        slope = to_var * (2 / count)
        return x * slope + (to_mean / count - slope * mean)
