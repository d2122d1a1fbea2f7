"""Multiplies and shifts each channel, in as few passes over memory as the layout allows.

In: a tensor (N, C, *positions) and parameters (C,). Out: a tensor of the same shape, type and memory format. This file
takes no statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normlib.norms.kernels.axes import per_channel
from normlib.norms.kernels.batch_moments import LARGE_ROWS, calls_kernels, in_kernel_layout, shaped_as
from normlib.norms.kernels.inspection import statistics_dtype


def scale_and_shift(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """weight * x + bias. None stands for 1 and 0.

    `weight` and `bias` are in the type of `x`, or in float32 for half precision. The kernel is batch norm's evaluation
    with a mean of 0 and a variance of 1. It takes one pass forward and one backward in every layout. A step with two
    broadcast factors takes two to five times as long on a CPU, gradients included (benchmarks/norm_kernels.py).
    """
    exact = statistics_dtype(x)
    if weight is None or weight.dtype is not exact or not calls_kernels(x) or x.numel() == 0:
        return scale_and_shift_formula(x, weight, bias)
    if x.dtype is exact and x.numel() >= LARGE_ROWS and x.stride(1) == 1 and not torch.is_grad_enabled():
        return scale_and_shift_formula(x, weight, bias)  # the kernel is not vectorized for channels side by side
    fit = in_kernel_layout(x)
    zeros, ones = torch.zeros_like(weight), torch.ones_like(weight)
    return shaped_as(x, torch.native_batch_norm(fit, weight, bias, zeros, ones, False, 0.0, 0.0)[0])


def scale_and_shift_formula(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """The same in steps that every transform of torch can follow."""
    exact = x.to(statistics_dtype(x))
    if weight is None:
        return x if bias is None else (exact + per_channel(bias, x)).to(x.dtype)
    if bias is None:
        return (exact * per_channel(weight, x)).to(x.dtype)
    return torch.addcmul(per_channel(bias, x), exact, per_channel(weight, x)).to(x.dtype)
