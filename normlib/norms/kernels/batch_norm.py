"""Normalization over the batch: what batch norm and batch renorm share.

In come tensors of shape (N, C, *positions); out go normalized tensors of the same shape and type. Statistics are taken in
float32 or better. This file decides nothing about running averages: it moves those that it is given.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normlib.norms.kernels.batch_formulas import (
    Measured,
    batch_norm_formula,
    move,
    normalize_by_formula,
)
from normlib.norms.kernels.batch_moments import (
    FEW_HALVES,
    FEW_VALUES,
    LARGE_ROWS,
    MANY_VALUES,
    are_near_zero,
    calls_kernels,
    for_the_kernels,
    is_on_gpu,
    is_quick_by_sample,
    measure,
    measure_shifted,
    shaped_as,
)
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import is_channels_last, is_under_func, may_read_values, statistics_dtype

_kernel_backward = torch.ops.aten.native_batch_norm_backward.default


def normalize_over_batch(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch norm of `x` (N, C, *positions) in training, in the memory format of `x` and right in all of them.

    `running_mean` and `running_var` (C,), both or neither, move in place by `momentum`. They, `weight` and `bias` (C,) are in
    the type of the statistics. At least two values a channel are the caller's business.

    torch's CPU kernel for channels-last and flat inputs adds up the values of a channel one by one in float32: at mean 1000
    and spread 0.01 it is off by 0.06 at 2,000 values a channel, and by more than 2 at 200,000. So its result stands where
    there are not too many values and every mean is within a few spreads of zero; elsewhere the input is shifted first, which
    leaves the result the same. CUDA's kernels are right in every layout and type.
    """
    if not may_read_values(x):
        if is_on_gpu(x):
            cudnn = torch.backends.cudnn.enabled
            return torch.batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps, cudnn)
        return batch_norm_formula(x, running_mean, running_var, weight, bias, momentum, eps)
    if running_mean is not None and running_var is not None:
        # The same memory, out of sight of autograd: it keeps them for the backward pass, which reads them in eval mode only,
        # and would refuse to go back once something else has moved them.
        running_mean, running_var = running_mean.data, running_var.data
    if weight is None and x.dtype is not statistics_dtype(x):
        weight = _ones_for(x)
    if x.dim() > 2 and not (x.is_contiguous() or is_channels_last(x)):
        y = normalize_over_batch(for_the_kernels(x), running_mean, running_var, weight, bias, momentum, eps)
        return shaped_as(x, y)
    values = x.numel() // x.shape[1]
    exact = x.stride(1) != 1 or values <= FEW_VALUES or values <= FEW_HALVES.get(x.dtype, 0)
    if (exact or values <= MANY_VALUES) and not is_quick_by_sample(x):
        y, mean, rstd = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        if exact or are_near_zero(mean, rstd, values):
            return y
        measured = measure_shifted(x.detach(), mean)
        if running_mean is not None and running_var is not None:
            # Take back what that mean was off by, which is what the shifted input has left, and what the variance about it was.
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
    """weight * (x - mean) / sqrt(var + eps) + bias with given statistics (C,), which stand for constants in the gradient.

    The gradient is that with the statistics of now, even where `mean` and `var` are moved in place before it is taken.
    """
    if torch.compiler.is_compiling():
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)
    if is_under_func():  # where a sample may have statistics of its own
        return normalize_by_formula(mean, var, x, weight, bias, eps)
    if weight is None and x.dtype is not statistics_dtype(x):
        weight = _ones_for(x)
    if torch.is_grad_enabled() and (x.requires_grad or (weight is not None and weight.requires_grad)):
        mean, var = mean.clone(), var.clone()  # autograd keeps them, and torch's kernels move them unseen
    fit = for_the_kernels(x) if may_read_values(x) else x
    return shaped_as(x, torch.batch_norm(fit, weight, bias, mean, var, False, 0.0, eps, torch.backends.cudnn.enabled))


def apply_statistics(x: Tensor, measured: Measured, scale: Tensor | None, shift: Tensor | None, eps: float) -> Tensor:
    """scale * (x - mean) / sqrt(var + eps) + shift, with the statistics of `x` itself, whose dependence on `x` is in the gradient.

    `measured` is ``measure(x)``; `scale` and `shift` (C,) are in its type.
    """
    if not calls_kernels(x):
        return batch_norm_formula(x, None, None, scale, shift, 0.0, eps)
    fit = for_the_kernels(x)
    if scale is None and x.dtype is not statistics_dtype(x):
        scale = _ones_for(x)
    if torch.is_grad_enabled():
        y: Tensor = _KnownStatistics.apply(fit, measured, scale, shift, eps)
    else:
        y = transform(fit, measured, scale, shift, eps)
    return shaped_as(x, y)


def gradients_of_batch_norm(
    gradient: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, scale: Tensor | None, eps: float, needed: list[bool]
) -> tuple[Tensor | None, ...]:
    """The gradients to `x`, to the scale and to the shift, as far as they are `needed`, by torch's kernel."""
    dtype = gradient.dtype
    if gradient.stride() != x.stride():  # the kernel takes ten times as long where the two are laid out differently
        gradient = torch.empty_like(x).copy_(gradient)
    elif x.dtype is not dtype:
        gradient = gradient.to(x.dtype)
    to_x, to_scale, to_shift = _kernel_backward(gradient, x, scale, None, None, mean, rstd, True, eps, needed)
    return to_x if to_x is None or x.dtype is dtype else to_x.to(dtype), to_scale, to_shift


def centred_best(x: Tensor, measured: Measured) -> tuple[Tensor, Tensor]:
    """What differs from `x` by a constant per channel and has the smaller mean, and that mean."""
    if measured.shifted is None or measured.shifted_mean is None:
        return x, measured.mean
    return measured.shifted, measured.shifted_mean


def transform(x: Tensor, measured: Measured, scale: Tensor | None, shift: Tensor | None, eps: float) -> Tensor:
    """scale * (x - mean) / sqrt(var + eps) + shift, without gradients, of an `x` that is contiguous or channels last."""
    dtype, (x, mean), var = x.dtype, centred_best(x, measured), measured.var
    if is_on_gpu(x) or x.stride(1) != 1 or x.numel() < LARGE_ROWS or x.dtype is not var.dtype:
        return torch.native_batch_norm(x, scale, shift, mean, var, False, 0.0, eps)[0].to(dtype)
    # The kernel has no vectors for channels side by side; one step with two factors is twice as fast, two steps are as fast.
    rstd = (var + eps).rsqrt_()
    factor = rstd if scale is None else scale * rstd
    per_channel = (-1,) + (1,) * (x.dim() - 2)
    if measured.shifted is not None or are_near_zero(mean, rstd):
        offset = -mean * factor if shift is None else torch.addcmul(shift, mean, factor, value=-1)
        return torch.addcmul(offset.view(per_channel), x, factor.view(per_channel)).to(dtype)
    y = torch.sub(x, mean.view(per_channel)).mul_(factor.view(per_channel))
    return y if shift is None else y.add_(shift.view(per_channel))


class _KnownStatistics(torch.autograd.Function):
    """torch's batch norm in training, with statistics that are known already."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, measured: Measured, scale: Tensor | None, shift: Tensor | None, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, *centred_best(x, measured), measured.var, scale, shift)
        ctx.eps = eps
        return transform(x, measured, scale, shift, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, centred, mean, var, scale, shift = ctx.saved_tensors
        needed = [ctx.needs_input_grad[index] for index in (0, 2, 3)]  # x, scale, shift
        if needs_formula(gradient):

            def formula(x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
                return batch_norm_formula(x, None, None, scale, shift, 0.0, ctx.eps)

            to_x, to_scale, to_shift = gradients_by_formula(formula, (x, scale, shift), needed, gradient)
        else:
            rstd = (var + ctx.eps).rsqrt_()
            to_x, to_scale, to_shift = gradients_of_batch_norm(gradient, centred, mean, rstd, scale, ctx.eps, needed)
        return to_x, None, to_scale, to_shift, None


def _ones_for(x: Tensor) -> Tensor:
    """A weight in float32: without one, torch's kernels take the statistics of half precision in half precision."""
    return x.new_ones(x.shape[1], dtype=statistics_dtype(x))
