"""Group norm on any memory format, which layer and instance norm use too.

In come tensors (N, C, *positions); out go tensors of the same shape, type and memory format. This file knows no norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import is_channels_last, may_read_values, means_are_within, statistics_dtype
from normlib.norms.kernels.standardize import standardize

# Up to here the channels-last kernel is as good as exact: its output is off by at most 1e-5 of its largest value (measured at
# up to 400,000 values a group); at 10 spreads by 3e-4.
FEW_SPREADS = 2.0
# With one channel a group that kernel goes through memory once a channel, and takes ten times as long, below so many
# positions; its backward pass does so in half precision wherever.
POSITIONS_OF_THE_QUICK_KERNEL = 2**10


def normalize_groups(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """torch's group norm of `x` (N, C, *positions), right in all memory formats; on plain tensors in that of `x`.

    The channels-last kernel forms E[x^2] - E[x]^2, which is off by more than 9 at mean 1000 and spread 0.01. So its result
    stands where every mean is within a few spreads of zero. Elsewhere each group is first shifted by one of its own values,
    which leaves the result the same.
    """
    if x.dim() == 2 or (x.is_contiguous() and x.stride(1) != 1) or torch.compiler.is_compiling():
        return torch.group_norm(x, num_groups, weight, bias, eps)
    if x.dim() == 3:
        four = x.unsqueeze(2)  # channels_last is (N, C, H, W)
        return normalize_groups(four, num_groups, weight, bias, eps).squeeze(2)
    if not is_channels_last(x) or not may_read_values(x):
        return torch.group_norm(x.contiguous(), num_groups, weight, bias, eps)
    if num_groups == x.shape[1] and not _is_quick_for_single_channels(x):
        return standardize(x, tuple(range(2, x.dim())), weight, bias, eps)
    y, mean, rstd = channels_last_group_norm(x, num_groups, weight, bias, eps)
    if means_are_within(FEW_SPREADS, mean, rstd):
        return y
    exact = x.to(statistics_dtype(x))
    group_size = x.shape[1] // num_groups
    first_of_groups = (slice(None), slice(None, None, group_size)) + (slice(0, 1),) * (x.dim() - 2)
    reference = exact.detach()[first_of_groups]  # (N, groups, 1, ...)
    if group_size > 1 and num_groups > 1:
        reference = reference.repeat_interleave(group_size, dim=1)  # (N, C, 1, ...)
    return channels_last_group_norm(exact - reference, num_groups, weight, bias, eps)[0].to(x.dtype)


def _is_quick_for_single_channels(x: Tensor) -> bool:
    if torch.is_grad_enabled() and x.dtype is not statistics_dtype(x):
        return False
    return x.numel() >= POSITIONS_OF_THE_QUICK_KERNEL * x.shape[0] * x.shape[1]


_kernel_backward = torch.ops.aten.native_group_norm_backward.default


def channels_last_group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalized `x`, scaled and shifted per channel, and the mean and rstd of each group, both (N, num_groups)."""
    samples, channels = x.shape[:2]
    sizes = (samples, channels, x.numel() // (samples * channels), num_groups)
    if torch.is_grad_enabled():
        result: tuple[Tensor, Tensor, Tensor] = _ChannelsLastGroupNorm.apply(x, weight, bias, sizes, eps)
        return result
    return torch.native_group_norm(x, weight, bias, *sizes, eps)


class _ChannelsLastGroupNorm(torch.autograd.Function):
    """The kernel's own derivative (torch 2.13) writes to a null pointer if only weight or bias needs a gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, sizes: tuple[int, int, int, int], eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, mean, rstd = torch.native_group_norm(x, weight, bias, *sizes, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.sizes, ctx.eps = sizes, eps
        ctx.mark_non_differentiable(mean, rstd)
        return y, mean, rstd

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        if needs_formula(gradient):

            def formula(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
                return torch.group_norm(x.contiguous(), ctx.sizes[-1], weight, bias, ctx.eps)

            return *gradients_by_formula(formula, (x, weight, bias), ctx.needs_input_grad[:3], gradient), None, None
        gradient = gradient.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
        mask = [True, weight is not None, bias is not None]
        return *_kernel_backward(gradient, x, mean, rstd, weight, *ctx.sizes, mask), None, None
