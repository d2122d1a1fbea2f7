"""Mean and variance over the batch, by the quickest way that is right for the layout.

In come tensors of shape (N, C, *positions); out go means and biased variances of shape (C,), without gradients, in float32 or
better. This file normalizes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import may_read_values, means_are_within, statistics_dtype

# Up to this many values of a channel, torch's channels-last and flat kernels are as accurate as the contiguous one: off by
# at most 0.015 at mean 1000 and spread 0.01 (measured).
FEW_VALUES = 8
# Up to this many values of a channel whose mean is within so many spreads of zero, those kernels, which add up one by one in
# float32, are off by at most 1e-5 of the largest output (measured; at 400,000 values by 1e-4 wherever the mean is).
MANY_VALUES, FEW_SPREADS = 2**16, 8.0
# Values whose plain sum is exact enough where many such parts are put together: at mean 1000 and spread 0.01 the mean is
# then off by less than 0.01 spreads, as that of the contiguous kernel (measured).
VALUES_OF_A_PART = 2**7
# From about this many values on, a pass over them takes longer than a call of Python from autograd.
LARGE = 2**14

_kernel = torch.ops.aten.batch_norm_update_stats.default


class Measured(NamedTuple):
    """The mean and the biased variance of an input over the batch, both (C,).

    `shifted`: the input less a constant per channel, in memory of its own, where that was a step on the way; and its mean.
    """

    mean: Tensor
    var: Tensor
    shifted: Tensor | None = None
    shifted_mean: Tensor | None = None


def measure(x: Tensor) -> Measured:
    """The statistics of `x`."""
    x = x.detach()
    if is_channels_first(x):
        if not _is_slow_for_torch(x):
            return Measured(*_one_pass(x))
        axes = [0, *range(2, x.dim())]
        mean = x.mean(axes, keepdim=True)  # (1, C, 1, ...)
        centred = x - mean
        return Measured(mean.flatten(), centred.square().mean(axes), centred, torch.zeros_like(mean).flatten())
    if may_read_values(x):
        if x.numel() <= MANY_VALUES * x.shape[1]:
            mean, var = _one_pass(x)
            if x.numel() <= FEW_VALUES * x.shape[1] or means_are_within(FEW_SPREADS, mean, var.rsqrt()):
                return Measured(mean, var)
        if (in_parts := measure_in_parts(x)) is not None:
            return in_parts
    reference = first_value_of_channels(x)
    shifted = x.to(statistics_dtype(x)) - reference
    mean, var = _one_pass(shifted)
    return Measured(mean + reference.flatten(), var, shifted, mean)


def measure_in_parts(x: Tensor) -> Measured | None:
    """The statistics of `x`, dense and channels last, from those of many parts of each channel; None where no part fits.

    Rows of C values are taken as shorter rows of more channels: one pass of the same kernel, over sums so short that they
    are exact enough wherever the mean is.
    """
    rows = x.movedim(1, -1).reshape(-1, x.shape[1])  # (values of a channel, C)
    lengths = range(min(VALUES_OF_A_PART, len(rows)), FEW_VALUES - 1, -1)
    length = next((length for length in lengths if len(rows) % length == 0), None)
    if length is None:
        return None
    parts = len(rows) // length
    means, variances = _one_pass(rows.reshape(-1, parts * x.shape[1]))
    means, variances = means.view(parts, -1), variances.view(parts, -1)
    mean = means.mean(0)
    return Measured(mean, variances.mean(0) + (means - mean).square().mean(0))


def is_channels_first(x: Tensor) -> bool:
    """Whether torch's contiguous kernel takes `x`; it is right wherever the mean is."""
    return x.is_contiguous() and x.stride(1) != 1


def first_value_of_channels(x: Tensor) -> Tensor:
    """A value of each channel, (1, C, 1, ...): the rest of the channel is mostly within a few spreads of it."""
    first = x.detach()[(slice(0, 1), slice(None)) + (slice(0, 1),) * (x.dim() - 2)]
    return first.to(statistics_dtype(x))


def _is_slow_for_torch(x: Tensor) -> bool:
    """Whether torch's contiguous kernel takes twice as long as two passes for the mean and two for the variance."""
    return may_read_values(x) and x.dim() > 2 and x.numel() >= LARGE and x.dtype is torch.float32


def _one_pass(x: Tensor) -> tuple[Tensor, Tensor]:
    """The kernel of batch norm. torch.var_mean takes twenty times as long, but alone works without data."""
    if x.is_meta or torch.compiler.is_compiling():
        var, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
        return mean, var
    dtype = statistics_dtype(x)
    if dtype is x.dtype:
        mean, var = _kernel(x, None, None, 0.0)
    else:  # running statistics in float32 are what makes it take its own in float32
        mean, var = _kernel(x, *x.new_zeros(2, x.shape[1], dtype=dtype), 0.0)
    return mean, var
