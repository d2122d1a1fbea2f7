"""Normalization over the batch, for batch norm and batch renorm.

In: tensors of shape (N, C, *positions). Out: normalized tensors of the same shape and type. Statistics are taken in
float32 or better. This file decides nothing about running averages; it moves those that it is given.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from normlib.norms.kernels.batch_formulas import (
    batch_norm_formula,
    move,
    normalize_by_formula,
)
from normlib.norms.kernels.batch_moments import (
    FEW_HALVES,
    FEW_VALUES,
    MANY_VALUES,
    are_near_zero,
    in_kernel_layout,
    is_on_gpu,
    is_quick_by_sample,
    measure,
    measure_shifted,
    shaped_as,
)
from normlib.norms.kernels.inspection import is_channels_last, is_under_func, may_read_values, statistics_dtype
from normlib.norms.kernels.known_statistics import apply_statistics, ones_for


def normalize_over_batch(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch norm of `x` (N, C, *positions) in training, exact in every memory format, and in that of `x`.

    `running_mean` and `running_var` (C,), both or neither, are updated in place by `momentum`. They, `weight` and
    `bias` (C,) are in the type of the statistics. The caller has to make sure that there are at least two values a
    channel.

    For channels-last and flat inputs, torch's CPU kernel adds up the values of a channel one by one in float32. At mean
    1000 and spread 0.01 it is off by 0.06 at 2,000 values a channel, and by more than 2 at 200,000. So its result is
    used if there are not too many values and every mean is within a few spreads of zero. Otherwise the input is shifted
    first, which leaves the result the same. CUDA's kernels are exact in every layout and type.
    """
    if not may_read_values(x):
        if is_on_gpu(x):
            cudnn = torch.backends.cudnn.enabled
            return torch.batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps, cudnn)
        return batch_norm_formula(x, running_mean, running_var, weight, bias, momentum, eps)
    return normalize_readable_batch(x, running_mean, running_var, weight, bias, momentum, eps)


def normalize_readable_batch(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """`normalize_over_batch` for an `x` for which the caller knows that ``may_read_values(x)``."""
    if running_mean is not None and running_var is not None:
        # The same memory, hidden from autograd. Autograd keeps them for the backward pass, which reads them in eval mode only,
        # and would refuse the backward pass once something else has moved them.
        running_mean, running_var = running_mean.data, running_var.data
    if weight is None and x.dtype is not statistics_dtype(x):
        weight = ones_for(x)
    if x.dim() > 2 and not (x.is_contiguous() or is_channels_last(x)):
        fit = in_kernel_layout(x)
        return shaped_as(x, normalize_readable_batch(fit, running_mean, running_var, weight, bias, momentum, eps))
    values = x.numel() // x.shape[1]
    if x.stride(1) != 1:
        exact, tries_kernel = True, not is_quick_by_sample(x)
    else:
        exact = values <= FEW_VALUES or values <= FEW_HALVES.get(x.dtype, 0)
        tries_kernel = exact or values <= MANY_VALUES
    if tries_kernel:
        y, mean, rstd = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        if exact or are_near_zero(mean, rstd, values):
            return y
        measured = measure_shifted(x.detach(), mean)
        if running_mean is not None and running_var is not None:
            # Undo the error of that mean, which is the mean of the shifted input, and the variance around it.
            off = measured.shifted_mean
            assert off is not None
            running_mean.add_(off, alpha=momentum)
            running_var.sub_(off.square(), alpha=momentum * values / (values - 1))
    else:
        measured = measure(x)
        move(running_mean, running_var, measured, x, momentum)
    return apply_statistics(x, measured, weight, bias, eps)


def normalize_by(
    mean: Tensor, var: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """weight * (x - mean) / sqrt(var + eps) + bias with given statistics (C,), which are constants in the gradient.

    The gradient uses the present statistics, even if `mean` and `var` are moved in place before it is computed.
    """
    if torch.compiler.is_compiling():
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)
    if is_under_func():  # here a sample may have its own statistics
        return normalize_by_formula(mean, var, x, weight, bias, eps)
    if weight is None and x.dtype is not statistics_dtype(x):
        weight = ones_for(x)
    if torch.is_grad_enabled() and (x.requires_grad or (weight is not None and weight.requires_grad)):
        mean, var = mean.clone(), var.clone()  # autograd keeps them, and torch's kernels move them without its notice
    fit = in_kernel_layout(x) if may_read_values(x) else x
    return shaped_as(x, torch.batch_norm(fit, weight, bias, mean, var, False, 0.0, eps, torch.backends.cudnn.enabled))
