"""Mean and variance over the batch, by the quickest way that is right for the layout.

In come tensors of shape (N, C, *positions); out go means and biased variances of shape (C,), without gradients, in float32 or
better. This file normalizes nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch._C import _is_tracing
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad

from normlib.norms.kernels.inspection import is_channels_last, may_read_values, statistics_dtype

# Thresholds of time and of error: benchmarks/norm_kernels.py measures both.
# Up to this many values of a channel, the kernel that adds them up one by one in float32 is off by at most 0.015 at mean 1000
# and spread 0.01, where float32 itself has steps of 0.006 spreads.
FEW_VALUES = 8
# Up to this many values of a channel whose mean is within so many spreads of zero, that kernel is off by at most 1e-5 of the
# largest output; at 400,000 values by 1e-4 wherever the mean is.
MANY_VALUES, FEW_SPREADS = 2**16, 8.0
# The most values of a part: their plain sum is then exact enough where many parts are put together.
VALUES_OF_A_PART = 2**7
# From this many values and this many positions on, the moments of each sample's channels by the kernel of group norm, an
# evaluation and a call of Python from autograd together take less time than torch's contiguous kernel.
LARGE, LONG = 2**17, 2**6

_kernel = torch.batch_norm_update_stats


class Measured(NamedTuple):
    """The mean and the biased variance of an input over the batch, both (C,)."""

    mean: Tensor
    var: Tensor


def measure(x: Tensor) -> Measured:
    """The statistics of `x` (N, C, *positions), without gradients, in float32 or better.

    Right at any mean: at mean 1000 and spread 0.01 the mean is off by a few of float32's own steps there.
    """
    x = x.detach()
    if not calls_kernels(x):
        return measure_by_formula(x)
    if x.is_cuda:
        return _one_pass(x)
    if is_large_and_contiguous(x):
        return _by_sample(x)
    if is_channels_first(x):
        return _one_pass(x)
    values = x.numel() // x.shape[1]
    if values <= MANY_VALUES:
        mean, var = _one_pass(x)
        if values <= FEW_VALUES or are_within_few_spreads(mean, var.rsqrt()):
            return Measured(mean, var)
    return measure_in_parts(x)


def measure_by_formula(x: Tensor) -> Measured:
    """The same in steps that autograd can follow, as can every transform of torch."""
    exact = x.to(statistics_dtype(x))
    axes = [0, *range(2, x.dim())]
    mean = exact.mean(axes, keepdim=True)  # (1, C, 1, ...)
    return Measured(mean.flatten(), (exact - mean).square().mean(axes))


def measure_in_parts(x: Tensor) -> Measured:
    """The statistics of `x`, from those of many parts of each channel.

    Rows of C values are taken as fewer, longer rows of more channels: one pass of the same kernel, over sums so short that they
    are exact enough wherever the mean is.
    """
    rows = x.movedim(1, -1).reshape(-1, x.shape[1])  # (values of a channel, C)
    values, channels = rows.shape
    length = min(max(math.isqrt(values), FEW_VALUES), VALUES_OF_A_PART)
    parts = values // length
    if parts < 2:
        return _one_pass(rows)
    means, variances = _one_pass(rows[: parts * length].reshape(length, parts * channels))
    whole = _put_together(means.view(parts, channels), variances.view(parts, channels))
    rest = values - parts * length
    if not rest:
        return Measured(*(statistic.to(means.dtype) for statistic in whole))
    last = Measured(*(statistic.double() for statistic in _one_pass(rows[parts * length :])))
    share = rest / values
    mean = torch.lerp(whole.mean, last.mean, share)
    var = torch.lerp(whole.var, last.var, share) + (share * (1 - share)) * (whole.mean - last.mean).square()
    return Measured(mean.to(means.dtype), var.to(means.dtype))


def is_channels_first(x: Tensor) -> bool:
    """Whether torch's contiguous kernel takes `x`; it adds up in float64."""
    return x.is_contiguous() and x.stride(1) != 1


def is_large_and_contiguous(x: Tensor) -> bool:
    """Whether the moments of `x` by sample are quicker than torch's contiguous kernel, which adds up scalar by scalar."""
    numel = x.numel()
    return (
        numel >= LARGE
        and is_channels_first(x)
        and numel >= LONG * x.shape[0] * x.shape[1]
        and x.dtype is statistics_dtype(x)
        and x.is_cpu
    )


def are_within_few_spreads(mean: Tensor, rstd: Tensor) -> bool:
    """Whether every mean is at most `FEW_SPREADS` standard deviations from zero; False where any is not finite."""
    return torch.linalg.vector_norm(mean * rstd, math.inf).item() <= FEW_SPREADS


def calls_kernels(x: Tensor) -> bool:
    """Whether the kernels of a CPU or a GPU may be called by name: nothing compiles, traces, transforms or wraps `x`."""
    if not x.is_cuda:
        return may_read_values(x)
    return (
        not torch.compiler.is_compiling()
        and peek_interpreter_stack() is None
        and not _is_tracing()
        and forward_ad._current_level < 0
    )


def for_the_kernels(x: Tensor) -> Tensor:
    """`x` in a layout that torch's CPU kernels have a quick way for, as a view where one will do.

    Contiguous, channels last, or rows (values, C) where the channels are last in a rank without a name for it.
    """
    if x.is_contiguous() or is_channels_last(x):
        return x
    rows = x.movedim(1, -1)
    return rows.reshape(-1, x.shape[1]) if rows.is_contiguous() else x.contiguous()


def shaped_as(x: Tensor, y: Tensor) -> Tensor:
    """`y`, made of ``for_the_kernels(x)``, in the shape of `x`."""
    return y if y.dim() == x.dim() else y.view(x.movedim(1, -1).shape).movedim(-1, 1)


def _by_sample(x: Tensor) -> Measured:
    """From the moments of each sample's channels, by the kernel of group norm, which adds up many values at a time."""
    samples, channels = x.shape[:2]
    _, mean, rstd = torch.native_group_norm(
        x, None, None, samples, channels, x.numel() // (samples * channels), channels, 0.0
    )
    whole = _put_together(mean.view(samples, channels), rstd.view(samples, channels).double().pow_(-2))
    return Measured(whole.mean.to(x.dtype), whole.var.to(x.dtype))


def _put_together(means: Tensor, variances: Tensor) -> Measured:
    """The statistics of a whole, in float64, from those (parts, C) of its equal parts (Chan, Golub, LeVeque 1983)."""
    mean, var_of_means = _kernel(means.double(), None, None, 0.0)
    return Measured(mean, variances.sum(0, dtype=torch.float64).div_(len(variances)).add_(var_of_means))


def _one_pass(x: Tensor) -> Measured:
    """The kernel of batch norm. torch.var_mean takes twenty times as long on a CPU."""
    dtype = statistics_dtype(x)
    if dtype is x.dtype or x.is_cuda:
        mean, var = _kernel(x, None, None, 0.0)
    else:  # running statistics in float32 are what makes it take its own in float32
        mean, var = _kernel(x, *x.new_zeros(2, x.shape[1], dtype=dtype), 0.0)
    return Measured(mean, var)
