"""Batch renorm: standardize with the batch's statistics, correct towards given ones, scale and shift, as one function.

In come an input (N, C, *positions) and running statistics (C,), out go the output, the statistics of the batch and the correction
that it wanted. This file moves no running statistics and counts nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from normlib.norms.kernels.batch_formulas import Measured, batch_norm_formula, measure_formula
from normlib.norms.kernels.batch_moments import (
    calls_kernels,
    for_the_kernels,
    is_on_gpu,
    measure,
    shaped_as,
)
from normlib.norms.kernels.batch_norm import gradients_of_batch_norm, transform
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.renorm_coefficients import (
    Bound,
    Coefficients,
    Hold,
    coefficients,
    coefficients_formula,
)

__all__ = ["Renormalized", "batch_renorm", "batch_renorm_formula"]


class Renormalized(NamedTuple):
    """The output; mean and deviation of the batch, eps inside; and r and d before they are clipped. All but `y` are (C,), without gradients."""

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
    hold: Hold | None = None,
) -> Renormalized:
    """weight * ((x - mean_B) / std_B * r + d) + bias, with r and d held constant in the gradient (arXiv:1702.03275, algorithm 1).

    r = std_B / std within [1 / r_max, r_max] and d = (mean_B - mean) / std within [-d_max, d_max], where mean_B is the mean of
    `x` (N, C, *positions) over the batch and std_B the root of its variance plus `eps`. `mean`, `std`, `weight` and `bias` are
    (C,), in the type of the statistics: that of `x`, or float32 for half precision. The bounds are numbers or tensors of rank 0.
    A channel is clipped where a wanted r or d lies outside its bounds. r and d pass through `hold` before they are used.
    """
    if not calls_kernels(x):
        return batch_renorm_formula(x, mean, std, weight, bias, r_max, d_max, eps, hold)
    fit = for_the_kernels(x)
    own = measure(fit)
    arguments = (*own, mean, std, weight, bias, r_max, d_max, eps)
    with torch.no_grad():
        by_kernel = hold is None and is_on_gpu(x)
        found = coefficients(*arguments) if by_kernel else coefficients_formula(*arguments, hold)
    if torch.is_grad_enabled():
        y: Tensor = _Renormalized.apply(fit, own, found, weight, bias, eps)
    else:
        y = transform(fit, own.mean, own.var, found.scale, found.shift, eps)
    return Renormalized(shaped_as(x, y), own.mean, found.std, found.wanted_r, found.wanted_d)


def batch_renorm_formula(
    x: Tensor,
    mean: Tensor,
    std: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    r_max: Bound,
    d_max: Bound,
    eps: float,
    hold: Hold | None = None,
) -> Renormalized:
    """`batch_renorm` in steps that autograd and every transform of torch can follow."""
    own = measure_formula(x.detach())
    found = coefficients_formula(*own, mean, std, weight, bias, r_max, d_max, eps, hold)
    y = batch_norm_formula(x, None, None, found.scale, found.shift, 0.0, eps)
    return Renormalized(y, own.mean, found.std, found.wanted_r, found.wanted_d)


class _Renormalized(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, own: Measured, found: Coefficients, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, own.mean, own.var, found.scale, found.r, found.d, weight, bias)
        ctx.eps = eps
        return transform(x, own.mean, own.var, found.scale, found.shift, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, var, scale, r, d, weight, bias = ctx.saved_tensors
        to_x, to_weight, to_bias = (ctx.needs_input_grad[index] for index in (0, 3, 4))
        if needs_formula(gradient):

            def formula(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
                scale, shift = (r, d) if weight is None else (weight * r, weight * d)
                return batch_norm_formula(x, None, None, scale, shift if bias is None else shift + bias, 0.0, ctx.eps)

            found = gradients_by_formula(formula, (x, weight, bias), [to_x, to_weight, to_bias], gradient)
            return found[0], None, None, *found[1:], None
        needed = [to_x, to_weight, to_weight or to_bias]
        x_gradient, to_scale, to_shift = gradients_of_batch_norm(gradient, x, mean, var, scale, ctx.eps, needed)
        weight_gradient = None if to_scale is None or to_shift is None else torch.addcmul(to_scale * r, to_shift, d)
        return x_gradient, None, None, weight_gradient, to_shift if to_bias else None, None
