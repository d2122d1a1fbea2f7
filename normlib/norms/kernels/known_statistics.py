"""Batch norm of an input whose statistics are known: the kernel of evaluation forward, that of training backward.

In: a tensor (N, C, *positions) and what ``measure`` found for it. Out: a tensor of the same shape, type and memory
format. This saves the half of torch's forward pass that takes the statistics. This file moves no running statistics.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.axes import per_channel
from normlib.norms.kernels.batch_formulas import Measured, batch_norm_formula
from normlib.norms.kernels.batch_moments import (
    LARGE_ROWS,
    are_near_zero,
    calls_kernels,
    in_kernel_layout,
    is_on_gpu,
    shaped_as,
)
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import statistics_dtype

_kernel_backward = torch.ops.aten.native_batch_norm_backward.default


def apply_statistics(x: Tensor, measured: Measured, scale: Tensor | None, shift: Tensor | None, eps: float) -> Tensor:
    """scale * (x - mean) / sqrt(var + eps) + shift, with the statistics of `x` itself.

    The gradient includes their dependence on `x`. `measured` is ``measure(x)``. `scale` and `shift` (C,) are in its
    type.
    """
    if not calls_kernels(x):
        return batch_norm_formula(x, None, None, scale, shift, 0.0, eps)
    fit = in_kernel_layout(x)
    if scale is None and x.dtype is not statistics_dtype(x):
        scale = ones_for(x)
    if torch.is_grad_enabled():
        y: Tensor = _KnownStatistics.apply(fit, measured, scale, shift, eps)
    else:
        y = transform(fit, measured, scale, shift, eps)
    return shaped_as(x, y)


def gradients_of_batch_norm(
    gradient: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, scale: Tensor | None, eps: float, needed: list[bool]
) -> tuple[Tensor | None, ...]:
    """The gradients of `x`, the scale and the shift by torch's kernel, as far as they are `needed`."""
    dtype = gradient.dtype
    if gradient.stride() != x.stride():  # the kernel takes ten times as long if the two are laid out differently
        gradient = torch.empty_like(x).copy_(gradient)
    elif x.dtype is not dtype:
        gradient = gradient.to(x.dtype)
    to_x, to_scale, to_shift = _kernel_backward(gradient, x, scale, None, None, mean, rstd, True, eps, needed)
    return to_x if to_x is None or x.dtype is dtype else to_x.to(dtype), to_scale, to_shift


def choose_centred(x: Tensor, measured: Measured) -> tuple[Tensor, Tensor]:
    """Of `x` and `x` minus a constant per channel, the one with the smaller mean, and that mean."""
    if measured.shifted is None or measured.shifted_mean is None:
        return x, measured.mean
    return measured.shifted, measured.shifted_mean


def transform(x: Tensor, measured: Measured, scale: Tensor | None, shift: Tensor | None, eps: float) -> Tensor:
    """scale * (x - mean) / sqrt(var + eps) + shift, without gradients, for an `x` that is contiguous or channels last."""

    dtype, (x, mean), var = x.dtype, choose_centred(x, measured), measured.var
    if is_on_gpu(x) or x.stride(1) != 1 or x.numel() < LARGE_ROWS or x.dtype is not var.dtype:
        return torch.native_batch_norm(x, scale, shift, mean, var, False, 0.0, eps)[0].to(dtype)
    # The kernel is not vectorized for channels side by side. One step with two factors is twice as fast, two steps are as fast.
    rstd = (var + eps).rsqrt_()
    factor = rstd if scale is None else scale * rstd
    if measured.shifted is not None or are_near_zero(mean, rstd):
        offset = -mean * factor if shift is None else torch.addcmul(shift, mean, factor, value=-1)
        return torch.addcmul(per_channel(offset, x), x, per_channel(factor, x)).to(dtype)
    y = torch.sub(x, per_channel(mean, x)).mul_(per_channel(factor, x))
    return y if shift is None else y.add_(per_channel(shift, x))


class _KnownStatistics(torch.autograd.Function):
    """torch's batch norm in training, with statistics that are already known."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, measured: Measured, scale: Tensor | None, shift: Tensor | None, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, *choose_centred(x, measured), measured.var, scale, shift)
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


def ones_for(x: Tensor) -> Tensor:
    """A weight of ones in float32. Without a weight, torch's kernels take statistics of half precision in half
    precision."""
    return x.new_ones(x.shape[1], dtype=statistics_dtype(x))
