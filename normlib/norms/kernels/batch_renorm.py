"""Batch renorm as one function: standardize with the batch's statistics, correct towards given ones, scale and shift.

In: an input (N, C, *positions) and running statistics (C,). Out: the output, the batch's statistics and the correction
that they asked for. This file moves no running statistics and counts nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from normlib.norms.kernels.batch_formulas import batch_norm_formula, measure_formula
from normlib.norms.kernels.batch_moments import (
    FEW_VALUES,
    are_near_zero,
    calls_kernels,
    in_kernel_layout,
    is_on_gpu,
    measure_by_kernel,
    shaped_as,
)
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.known_statistics import choose_centred, gradients_of_batch_norm, transform
from normlib.norms.kernels.renorm_coefficients import (
    Bound,
    StopGradient,
    coefficients,
    coefficients_formula,
    correction,
)

# Below this many values, two calls of torch's kernels take less time than one with a backward pass in Python.
LARGE = 2**16
GREATEST = 2.0**32  # the largest r whose square stays within float32

__all__ = ["Renormalized", "batch_renorm", "batch_renorm_formula"]


class Renormalized(NamedTuple):
    """The output, the batch's mean and deviation (eps inside), and r and d before clipping.

    All but `y` are (C,), without gradients.
    """

    y: Tensor
    mean: Tensor
    std: Tensor
    wanted_r: Tensor
    wanted_d: Tensor


def batch_renorm(
    x: Tensor,
    mean: Tensor,
    std: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    r_max: Bound,
    d_max: Bound,
    eps: float,
    stop_gradient: StopGradient | None = None,
) -> Renormalized:
    """weight * ((x - mean_B) / std_B * r + d) + bias, with r and d held constant in the gradient.

    This is algorithm 1 of arXiv:1702.03275. r = std_B / std within [1 / r_max, r_max], and d = (mean_B - mean) / std
    within [-d_max, d_max]. mean_B is the mean of `x` (N, C, *positions) over the batch. std_B is the root of its
    variance plus `eps`. `mean`, `std`, `weight` and `bias` are (C,), in the type of the statistics: that of `x`, or
    float32 for half precision. The bounds are numbers or tensors of rank 0. A channel is clipped if a wanted r or d
    lies outside its bounds. r and d pass through `stop_gradient` before they are used.
    """
    if not calls_kernels(x):
        return batch_renorm_formula(x, mean, std, weight, bias, r_max, d_max, eps, stop_gradient)
    fit = x if x.dim() == 2 and x.is_contiguous() else in_kernel_layout(x)
    if not is_on_gpu(x) and x.numel() < LARGE and x.dtype is mean.dtype and r_max <= GREATEST:
        small = _by_two_kernels(fit, mean, std, weight, bias, r_max, d_max, eps, stop_gradient)
        if small is not None:
            return small if fit is x else small._replace(y=shaped_as(x, small.y))
    found: list[Tensor] = []
    arguments = (weight, bias, mean, std, r_max, d_max, eps, stop_gradient, found)
    y = (
        _Renormalized.apply(fit, *arguments)
        if torch.is_grad_enabled()
        else _Renormalized.forward(None, fit, *arguments)
    )
    return Renormalized(shaped_as(x, y), *found)


def batch_renorm_formula(
    x: Tensor,
    mean: Tensor,
    std: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    r_max: Bound,
    d_max: Bound,
    eps: float,
    stop_gradient: StopGradient | None = None,
) -> Renormalized:
    """`batch_renorm` in steps that autograd and every transform of torch can follow."""
    batch = measure_formula(x.detach())
    found = coefficients_formula(batch.mean, batch.var, mean, std, weight, bias, r_max, d_max, eps, stop_gradient)
    y = batch_norm_formula(x, None, None, found.scale, found.shift, 0.0, eps)
    return Renormalized(y, batch.mean, found.std, found.wanted_r, found.wanted_d)


def _by_two_kernels(
    x: Tensor,
    mean: Tensor,
    std: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    r_max: Bound,
    d_max: Bound,
    eps: float,
    stop_gradient: StopGradient | None,
) -> Renormalized | None:
    """Batch norm in training, then batch norm by -d / r and 1 / r^2. None if the first is not exact enough.

    Both are torch's own, and their backward passes call no Python.
    """
    x_hat, batch_mean, rstd = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
    values = x.numel() // x.shape[1]
    if x.stride(1) == 1 and values > FEW_VALUES and not are_near_zero(batch_mean, rstd, values):
        return None
    batch_std = rstd.reciprocal()
    wanted_r, wanted_d, r, d = correction(batch_mean, batch_std, mean, std, r_max, d_max, stop_gradient)
    y = torch.native_batch_norm(x_hat, weight, bias, (d / r).neg_(), r.pow(-2), False, 0.0, 0.0)[0]
    return Renormalized(y, batch_mean, batch_std, wanted_r, wanted_d)


class _Renormalized(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, std: Tensor,
        r_max: Bound, d_max: Bound, eps: float, stop_gradient: StopGradient | None, found: list[Tensor],
    ) -> Tensor:  # fmt: skip
        batch = measure_by_kernel(x)
        arguments = (batch.mean, batch.var, mean, std, weight, bias, r_max, d_max, eps)
        by_kernel = stop_gradient is None and is_on_gpu(x)
        batch_std, wanted_r, wanted_d, r, d, scale, shift = (
            coefficients(*arguments) if by_kernel else coefficients_formula(*arguments, stop_gradient)
        )
        found += batch.mean, batch_std, wanted_r, wanted_d
        if ctx is not None:
            ctx.save_for_backward(x, *choose_centred(x, batch), batch_std, scale, r, d, weight, bias)
            ctx.eps = eps
        return transform(x, batch, scale, shift, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, centred, mean, batch_std, scale, r, d, weight, bias = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad[:3]
        if needs_formula(gradient):

            def formula(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
                scale, shift = (r, d) if weight is None else (weight * r, weight * d)
                return batch_norm_formula(x, None, None, scale, shift if bias is None else shift + bias, 0.0, ctx.eps)

            found = gradients_by_formula(formula, (x, weight, bias), [to_x, to_weight, to_bias], gradient)
            return *found, *[None] * 7
        needed = [to_x, to_weight, to_weight or to_bias]
        x_gradient, to_scale, to_shift = gradients_of_batch_norm(
            gradient, centred, mean, batch_std.reciprocal(), scale, ctx.eps, needed
        )
        weight_gradient = None if to_scale is None or to_shift is None else torch.addcmul(to_scale * r, to_shift, d)
        return x_gradient, weight_gradient, to_shift if to_bias else None, *[None] * 7
