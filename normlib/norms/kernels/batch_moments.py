"""Mean and variance over the batch, by the quickest way that is exact for the layout.

In: tensors of shape (N, C, *positions). Out: means and biased variances of shape (C,), without gradients, in float32 or
better. This file normalizes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C import _is_tracing
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad

from normlib.norms.kernels.batch_formulas import Measured, measure_formula
from normlib.norms.kernels.inspection import is_channels_last, may_read_values, statistics_dtype

# The thresholds for time and error below are measured by benchmarks/norm_kernels.py.
# The kernel adds the values of a channel one by one in float32. Up to this many, it is off by at most 0.015 at mean 1000
# and spread 0.01. There float32 itself has steps of 0.006 spreads.
FEW_VALUES = 8
# Up to this many, it is exact for values of half precision that are far from zero compared with their spread. They are then
# multiples of one number, and the sum still fits into the 24 bits of float32.
FEW_HALVES = {torch.bfloat16: 2**15, torch.float16: 2**12}
# The error of its mean, in spreads, is about 3e-8 times the mean in spreads times the root of the number of values. So it is used
# where that product is small: the error is then at most 1e-5 of the largest output. Few spreads are enough up to MANY_VALUES.
MANY_SPREADS, FEW_SPREADS, MANY_VALUES = 2.0**11, 8.0, 2**14
# It adds up a row at a time, and is quickest on rows of about this many numbers.
WIDE = 2**10
# From this many values and positions on, three steps together (moments by sample, an evaluation, a call of Python from autograd)
# take less time than torch's contiguous kernel.
LARGE, LONG = 2**17, 2**6
# From this many values on, several steps on small tensors cost less than one pass over the values.
LARGE_ROWS = 2**18

_kernel = torch.batch_norm_update_stats


def measure(x: Tensor) -> Measured:
    """The statistics of `x` (N, C, *positions), without gradients, in float32 or better. Exact wherever the mean is."""
    x = x.detach()
    return measure_by_kernel(in_kernel_layout(x)) if calls_kernels(x) else measure_formula(x)


def measure_by_kernel(x: Tensor) -> Measured:
    """`measure` for the result of ``in_kernel_layout``, if kernels may be called by name."""
    values = x.numel() // x.shape[1]
    if is_on_gpu(x):
        return one_pass(x)
    if x.stride(1) != 1:
        if not is_quick_by_sample(x):
            return one_pass(x)
        quick, length = _by_sample(x), MANY_VALUES
    else:
        length = min(values, MANY_VALUES)  # the length of the quickest parts
        if x.numel() >= LARGE_ROWS:
            length = min(max(values // max(WIDE // x.shape[1], 1), 2), MANY_VALUES)
        quick = measure_in_parts(x, length)
        if values <= FEW_VALUES or values <= FEW_HALVES.get(x.dtype, 0):
            return quick
    return quick if are_near_zero(quick.mean, quick.var.rsqrt(), length) else measure_shifted(x, quick.mean)


def measure_shifted(x: Tensor, near: Tensor) -> Measured:
    """The statistics of `x`, dense and without gradients, from those of `x` minus `near` (C,).

    `near` is some value near the mean. The difference of close numbers is exact, so this is exact wherever the mean is.
    """
    shifted = x.to(statistics_dtype(x)) - near.view((-1,) + (1,) * (x.dim() - 2))
    quick = _by_sample(shifted) if x.stride(1) != 1 else measure_in_parts(shifted, MANY_VALUES)
    return Measured(near + quick.mean, quick.var, shifted, quick.mean)


def measure_in_parts(x: Tensor, length: int) -> Measured:
    """The statistics of `x`, whose channels lie side by side, from those of parts of `length` values a channel.

    Rows of C values are read as fewer, longer rows of more channels, for one pass of the same kernel.
    """
    parts = x.numel() // x.shape[1] // length
    if parts < 2:
        return one_pass(x)
    rows = x.movedim(1, -1).reshape(-1, x.shape[1])  # (values of a channel, C)
    values, channels = rows.shape
    found = one_pass(rows[: parts * length].view(length, parts * channels))
    whole = _merge_parts(found.mean.view(parts, channels), found.var.view(parts, channels))
    rest = values - parts * length
    if rest:
        last, share = one_pass(rows[parts * length :].double()), rest / values
        var = torch.lerp(whole.var, last.var, share) + (share * (1 - share)) * (whole.mean - last.mean).square()
        whole = Measured(torch.lerp(whole.mean, last.mean, share), var)
    return Measured(whole.mean.to(found.mean.dtype), whole.var.to(found.mean.dtype))


def is_quick_by_sample(x: Tensor) -> bool:
    """Whether `measure` and an evaluation take less time than torch's kernel, for `x` contiguous on a CPU."""
    numel = x.numel()
    if numel < LARGE or x.stride(1) == 1:
        return False
    return numel >= LONG * x.shape[0] * x.shape[1] and x.dtype is statistics_dtype(x)


def are_near_zero(mean: Tensor, rstd: Tensor, values: int = MANY_VALUES) -> bool:
    """Whether plain sums of `values` numbers a channel, at most `MANY_VALUES`, are exact enough.

    With the default, this asks whether all means are within a few spreads of zero. False if a mean is not finite.
    """
    in_spreads = mean * rstd
    together = in_spreads.dot(in_spreads).item()  # one small step that mostly decides
    return together * values <= MANY_SPREADS**2 or in_spreads.abs().max().item() <= FEW_SPREADS


def is_on_gpu(x: Tensor) -> bool:
    """Whether `x` is on CUDA, whose kernels for batch norm are exact in every layout and type."""
    return x.is_cuda


def calls_kernels(x: Tensor) -> bool:
    """Whether the kernels of a CPU or a GPU may be called by name.

    They may if nothing compiles, traces, transforms or wraps `x`.
    """
    if not is_on_gpu(x):
        return may_read_values(x)
    return (
        not torch.compiler.is_compiling()
        and peek_interpreter_stack() is None
        and not _is_tracing()
        and forward_ad._current_level < 0
    )


def in_kernel_layout(x: Tensor) -> Tensor:
    """`x` in a layout for which torch's kernels are quick, as a view if possible.

    On a CPU that is contiguous or channels last. If channels are last at a rank without a name for that, it is rows
    (values, C).
    """
    if is_on_gpu(x) or x.is_contiguous() or is_channels_last(x):
        return x
    rows = x.movedim(1, -1)
    return rows.reshape(-1, x.shape[1]) if rows.is_contiguous() else x.contiguous()


def shaped_as(x: Tensor, y: Tensor) -> Tensor:
    """`y`, computed from ``in_kernel_layout(x)``, in the shape of `x`."""
    return y if y.dim() == x.dim() else y.view(x.movedim(1, -1).shape).movedim(-1, 1)


def _by_sample(x: Tensor) -> Measured:
    """The statistics from the moments of each sample's channels.

    The kernel is that of group norm, which adds up many values at a time.
    """
    samples, channels = x.shape[:2]
    _, mean, rstd = torch.native_group_norm(
        x, None, None, samples, channels, x.numel() // (samples * channels), channels, 0.0
    )
    whole = _merge_parts(mean.view(samples, channels), rstd.view(samples, channels).double().pow_(-2))
    return Measured(whole.mean.to(x.dtype), whole.var.to(x.dtype))


def _merge_parts(means: Tensor, variances: Tensor) -> Measured:
    """The statistics of a whole, in float64, from those of its equal parts, (parts, C) each.

    Source: Chan, Golub, LeVeque 1983.
    """
    mean, var_of_means = _kernel(means.double(), None, None, 0.0)
    return Measured(mean, variances.sum(0, dtype=torch.float64).div_(len(variances)).add_(var_of_means))


def one_pass(x: Tensor) -> Measured:
    """The statistics by the kernel of batch norm alone, which is not always exact enough.

    torch.var_mean takes twenty times as long on a CPU.
    """
    dtype = statistics_dtype(x)
    if dtype is x.dtype or is_on_gpu(x):
        mean, var = _kernel(x, None, None, 0.0)
    else:  # given running statistics in float32, it takes its own in float32
        zeros = x.new_zeros(x.shape[1], dtype=dtype)
        mean, var = _kernel(x, zeros, zeros, 0.0)
    return Measured(mean, var)
