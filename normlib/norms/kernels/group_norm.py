"""Group norm on any memory format. Layer and instance norm use it too.

In: tensors (N, C, *positions). Out: tensors of the same shape, type and memory format. This file knows no norm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.affine import scale_and_shift
from normlib.norms.kernels.batch_moments import is_on_gpu
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import is_channels_last, may_read_values, statistics_dtype

# The channels-last kernel forms E[x^2] - E[x]^2 from sums of one value after the other. If the mean is within so many spreads
# of zero, its output is off by at most 1e-5 of the largest. It is off by at most 1e-4 if (mean^2 / var + 1) * positions is at most
# SQUARES (benchmarks/sample_kernels.py --errors).
FEW_SPREADS = 2.0
SQUARES = 2.0**15 * 1.25
# That kernel handles a vector's width of values for each few channels of a group (benchmarks/sample_kernels.py). In half
# precision, below this many channels, it takes up to 20 times as long, ...
CHANNELS_IN_HALF = 16
# ... and up to this many channels, longer than plain steps do: its forward pass below so many positions, from so many of them in
# all groups on, its backward pass from so many values on.
FEW_CHANNELS, MANY_POSITIONS, MANY_GROUPS, LARGE = 4, 2**10, 2**15, 2**16

Sizes = tuple[int, int, int, int]
"""The numbers of samples, channels, positions and groups."""


def normalize_groups(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """torch's group norm of `x` (N, C, *positions), exact in every memory format. Plain tensors keep that of `x`.

    On a CPU the channels-last kernel is off by more than 9 at mean 1000 and spread 0.01. So its result is used if every
    mean is near enough to zero. Otherwise the input is first shifted by the means that it found, which leaves the
    result the same.
    """
    if x.dim() == 2:
        return torch.group_norm(x, num_groups, weight, bias, eps)
    if not may_read_values(x):
        return _without_known_layout(x, num_groups, weight, bias, eps)
    if x.is_contiguous() and x.stride(1) != 1:
        return torch.group_norm(x, num_groups, weight, bias, eps)
    if x.dim() == 3:
        four = x.unsqueeze(2)  # channels_last is (N, C, H, W)
        return normalize_groups(four, num_groups, weight, bias, eps).squeeze(2)
    if not is_channels_last(x):
        return torch.group_norm(x.contiguous(), num_groups, weight, bias, eps)
    samples, channels = x.shape[:2]
    sizes = (samples, channels, positions := x.numel() // (samples * channels), num_groups)
    group_size = channels // num_groups
    if group_size < CHANNELS_IN_HALF and x.dtype is not statistics_dtype(x):  # noqa: SIM102 (two reasons, one a line)
        if positions < MANY_POSITIONS or torch.is_grad_enabled():
            return normalize_groups(x.to(statistics_dtype(x)), num_groups, weight, bias, eps).to(x.dtype)
    y, mean, rstd = channels_last_group_norm(x, weight, bias, sizes, eps)
    if _is_in_steps(sizes) or _are_near_zero(mean, rstd, positions):
        return y
    reference = mean.detach().repeat_interleave(group_size, dim=1).view(samples, channels, *(1,) * (x.dim() - 2))
    shifted = x.to(statistics_dtype(x)) - reference
    return channels_last_group_norm(shifted, weight, bias, sizes, eps)[0].to(x.dtype)


def group_norm_formula(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """The same in plain steps."""
    grouped = x.to(statistics_dtype(x)).reshape(x.shape[0], num_groups, -1)
    centred = grouped - grouped.mean(2, keepdim=True)
    x_hat = (centred * (centred.square().mean(2, keepdim=True) + eps).rsqrt()).view(x.shape)
    per_channel = (-1,) + (1,) * (x.dim() - 2)
    y = x_hat if weight is None else x_hat * weight.view(per_channel)
    return (y if bias is None else y + bias.view(per_channel)).to(x.dtype)


def _without_known_layout(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Group norm on a GPU, compiled, traced, or under torch.func, where the layout cannot be read.

    CUDA's kernel takes its statistics in float32 by Welford's method in any type. But it wants one type for `x` and the
    weights. So a half-precision `x` with float32 weights is standardized without them. The kernel of batch norm's
    evaluation, which takes both types, then scales and shifts it. Casts of `x` and of the result would move twice as
    many bytes.
    """
    if not is_on_gpu(x):
        plain = x if torch.compiler.is_compiling() else x.contiguous()
        return torch.group_norm(plain, num_groups, weight, bias, eps)
    if weight is None or weight.dtype is x.dtype:
        return torch.group_norm(x, num_groups, weight, bias, eps)
    x_hat = torch.group_norm(x, num_groups, None, None, eps)
    return scale_and_shift(x_hat, weight, bias)


def _are_near_zero(mean: Tensor, rstd: Tensor, positions: int) -> bool:
    """Whether the kernel's sums are exact enough at these means. False if any mean is not finite."""
    if mean.requires_grad:
        mean, rstd = mean.detach(), rstd.detach()
    farthest = torch.linalg.vector_norm(mean * rstd, math.inf).item()  # in spreads
    return farthest <= FEW_SPREADS or (farthest**2 + 1) * positions <= SQUARES


def _is_in_steps(sizes: Sizes) -> bool:
    samples, channels, positions, num_groups = sizes
    few = channels <= FEW_CHANNELS * num_groups and positions < MANY_POSITIONS
    return few and samples * positions * num_groups >= MANY_GROUPS


def channels_last_group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, sizes: Sizes, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalized `x`, scaled and shifted per channel, and the mean and rstd of each group.

    Mean and rstd are (N, num_groups).
    """
    if torch.is_grad_enabled():
        result: tuple[Tensor, Tensor, Tensor] = _ChannelsLastGroupNorm.apply(x, weight, bias, sizes, eps)
        return result
    return _forward(x, weight, bias, sizes, eps)


def _forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, sizes: Sizes, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    if _is_in_steps(sizes):
        return _in_steps(x, weight, bias, sizes, eps)
    return torch.native_group_norm(x, weight, bias, *sizes, eps)


def _in_steps(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, sizes: Sizes, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    axes, grouped = tuple(range(2, x.dim())), (sizes[0], sizes[3], -1)
    per_channel = (sizes[0], sizes[1]) + (1,) * len(axes)
    mean = x.mean(axes).view(grouped).mean(2, keepdim=True)  # (N, groups, 1)
    shape = (sizes[0], sizes[3], sizes[1] // sizes[3])
    y = x - mean.expand(shape).reshape(per_channel)
    rstd = y.square().mean(axes).view(grouped).mean(2, keepdim=True).add_(eps).rsqrt_()
    scale = (rstd if weight is None else rstd * weight.view(shape[1:])).expand(shape).reshape(per_channel)
    y = y.mul_(scale) if bias is None else torch.addcmul(bias.view(per_channel[1:]), y, scale, out=y)
    return y, mean.squeeze(2), rstd.squeeze(2)


class _ChannelsLastGroupNorm(torch.autograd.Function):
    """torch's own derivative (2.13) cannot take many gradients at once.

    It also writes to a null pointer if `x` needs no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, sizes: Sizes, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, mean, rstd = _forward(x, weight, bias, sizes, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.sizes, ctx.eps = sizes, eps
        ctx.mark_non_differentiable(mean, rstd)
        return y, mean, rstd

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        if needs_formula(gradient):

            def formula(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
                return torch.group_norm(x.contiguous(), ctx.sizes[-1], weight, bias, ctx.eps)

            return *gradients_by_formula(formula, (x, weight, bias), needed, gradient), None, None
        few = x.shape[1] <= FEW_CHANNELS * ctx.sizes[-1] and x.numel() >= LARGE
        if (few or _is_in_steps(ctx.sizes)) and x.dtype is mean.dtype:
            return *_gradients_in_steps(gradient, x, weight, mean, rstd, ctx.sizes, needed), None, None
        gradient = gradient.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
        mask = [True, weight is not None, bias is not None]
        return *_kernel_backward(gradient, x, mean, rstd, weight, *ctx.sizes, mask), None, None


def _gradients_in_steps(
    gradient: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, rstd: Tensor, sizes: Sizes, needed: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of `x`, `weight` and `bias`."""
    samples, channels, positions, num_groups = sizes
    axes, grouped = tuple(range(2, x.dim())), (samples, num_groups, channels // num_groups)
    mean, rstd = mean.unsqueeze(2), rstd.unsqueeze(2)  # (N, groups, 1)
    if _is_in_steps(sizes):  # nothing has checked whether the mean is near enough to zero
        x = x - mean.expand(grouped).reshape((samples, channels) + (1,) * len(axes))
        mean = torch.zeros_like(mean)
    products = gradient * x
    sums = gradient.sum(axes).view(grouped)
    pulls = (products.sum(axes).view(grouped) - sums * mean) * rstd  # sums of gradient * x_hat
    weight_gradient = pulls.sum(0).flatten() if needed[1] else None
    bias_gradient = sums.sum(0).flatten() if needed[2] else None
    if not needed[0]:
        return None, weight_gradient, bias_gradient
    scale = rstd
    if weight is not None:
        scale, sums, pulls = (each * weight.view(grouped[1:]) for each in (rstd, sums, pulls))
    # dx = rstd * (weight * gradient - E[weight * gradient] - x_hat * E[weight * gradient * x_hat])
    count = positions * grouped[2]
    pull = rstd.square() * pulls.sum(2, keepdim=True) / count  # (N, groups, 1)
    offset = pull * mean - rstd * sums.sum(2, keepdim=True) / count
    per_channel = (samples, channels) + (1,) * len(axes)
    scale, pull, offset = (each.expand(grouped).reshape(per_channel) for each in (scale, pull, offset))
    x_gradient = torch.addcmul(offset, x, pull, value=-1, out=products).addcmul_(gradient, scale)
    return x_gradient, weight_gradient, bias_gradient


_kernel_backward = torch.ops.aten.native_group_norm_backward.default
