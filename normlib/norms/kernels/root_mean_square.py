"""Divides by the root of a mean of squares in a few passes over memory, for RMS norm and filter response norm.

In: tensors of shape (N, C, *positions). Out: tensors of the same shape, type and memory format. Nothing here knows a
norm.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch._C import _is_tracing
from torch.compiler import is_compiling

from normlib.norms.kernels.axes import per_channel
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import may_read_values, statistics_dtype
from normlib.norms.kernels.threshold import larger_of, split_gradient

# Below about this many values, steps that autograd follows by itself take less time than a call of Python from autograd.
LARGE = 2**16
# Without gradients, torch's own steps stay quicker up to here, if the values of a statistic lie side by side.
LARGE_ROWS = 2**18
# torch's vector length takes half the time if the values lie side by side. Up to this many values it is exact to 5e-7;
# at a million it is off by 2e-5, at mean 1000 by 2e-4 (measured in float32).
FEW_VALUES = 2**14


def divide_by_rms(
    x: Tensor,
    axes: tuple[int, ...],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | Tensor,
    threshold: Tensor | None = None,
) -> Tensor:
    """weight * x / sqrt(mean of squares over `axes` + eps) + bias, but at least `threshold`.

    `weight`, `bias` and `threshold` are per channel.
    """
    if not isinstance(eps, Tensor) and is_large(x):
        if not torch.is_grad_enabled():
            return _divided(x, weight, bias, threshold, axes, eps)[0]
        y: Tensor = _DividedByRMS.apply(x, weight, bias, threshold, axes, eps)
        return y
    return divide_by_rms_formula(x, weight, bias, threshold, axes, eps)


def divide_rows_by_rms(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """The same over the last dimension of `x` (*rows, C). For few values, torch's own takes the fewest steps."""
    if is_large(x) and (torch.is_grad_enabled() or x.numel() >= LARGE_ROWS):
        return divide_by_rms(x.movedim(-1, 1), (1,), weight, None, eps).movedim(1, -1)
    if weight is None or weight.dtype is x.dtype:
        return torch.rms_norm(x, x.shape[-1:], weight, eps)
    return torch.rms_norm(x.to(weight.dtype), x.shape[-1:], weight, eps).to(x.dtype)


def is_large(x: Tensor) -> bool:
    """Whether it pays to leave the steps that autograd follows. Sizes are not compared if they may be symbols."""
    return not is_compiling() and not _is_tracing() and x.numel() >= LARGE and may_read_values(x)


def divide_by_rms_formula(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    threshold: Tensor | None,
    axes: tuple[int, ...],
    eps: float | Tensor,
) -> Tensor:
    """The same in steps that autograd can follow.

    If a factor is the same at all positions, it is multiplied by `weight` first.
    """
    exact = x.to(statistics_dtype(x))
    factor = (exact.square().mean(axes, keepdim=True) + eps).rsqrt()
    if weight is not None and _is_same_at_all_positions(x, axes):
        factor, weight = factor * per_channel(weight, x), None
    scaled = factor if weight is None else per_channel(weight, x)
    exact = exact if weight is None else exact * factor
    # In one step with the next, torch.addcmul takes four times as long if positions are side by side.
    y = exact * scaled
    y = y if bias is None else y + per_channel(bias, x)
    return (y if threshold is None else larger_of(y, per_channel(threshold, x))).to(x.dtype)


def _divided(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    threshold: Tensor | None,
    axes: tuple[int, ...],
    eps: float,
) -> tuple[Tensor, Tensor]:
    """The same without autograd, and the inverse of the root mean square."""
    exact = x.to(statistics_dtype(x))
    rms_inverse = _mean_square(exact, axes).add_(eps).rsqrt_()
    if weight is None:
        y = exact * rms_inverse
    elif _is_same_at_all_positions(x, axes):
        scale = rms_inverse * per_channel(weight, x)
        if bias is not None and x.stride(1) == 1:  # one step, quick if neighbours in memory have different factors
            y, bias = torch.addcmul(per_channel(bias, x), exact, scale), None
        else:
            y = exact * scale
    else:
        y = (exact * rms_inverse).mul_(per_channel(weight, x))
    if bias is not None:
        y.add_(per_channel(bias, x))
    if threshold is not None:
        y = torch.maximum(y, per_channel(threshold, x), out=y)
    return y.to(x.dtype), rms_inverse


class _DividedByRMS(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        threshold: Tensor | None,
        axes: tuple[int, ...],
        eps: float,
    ) -> Tensor:
        y, rms_inverse = _divided(x, weight, bias, threshold, axes, eps)
        ctx.save_for_backward(x, weight, bias, threshold, rms_inverse, None if threshold is None else y)
        ctx.axes, ctx.eps = axes, eps
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, threshold, rms_inverse, y = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad[:3]
        if needs_formula(gradient):

            def formula(x: Tensor, *given: Tensor | None) -> Tensor:
                weight, bias, threshold = given
                return divide_by_rms_formula(x, weight, bias, threshold, ctx.axes, ctx.eps)

            needed = ctx.needs_input_grad[:4]
            return *gradients_by_formula(formula, (x, weight, bias, threshold), needed, gradient), None, None
        positions = tuple(range(2, x.dim()))
        exact, gradient = x.to(rms_inverse.dtype), gradient.to(rms_inverse.dtype)
        threshold_gradient = None
        if threshold is not None:
            gradient, threshold_gradient = split_gradient(gradient, y, per_channel(threshold, x))
            threshold_gradient = threshold_gradient.flatten()
        bias_gradient = gradient.sum((0, *positions)) if to_bias else None
        products = gradient * exact
        # Only sums of the products are needed, so those over positions come first if all else is the same there.
        small = bool(positions) and _is_same_at_all_positions(x, ctx.axes)
        sums = products.sum(positions, keepdim=True) if small else products  # (N, C, 1, ...) or (N, C, *positions)
        by_weight = sums * rms_inverse if to_weight or weight is not None else sums
        weight_gradient = by_weight.sum((0, *positions)) if to_weight else None
        if not to_x:
            return None, weight_gradient, bias_gradient, threshold_gradient, None, None
        if weight is None:
            pull = sums.sum(ctx.axes, keepdim=True)
            x_gradient = torch.mul(gradient, rms_inverse, out=products)
        else:
            pull = torch.mul(sums, per_channel(weight, x), out=by_weight).sum(ctx.axes, keepdim=True)
            if small:
                x_gradient = torch.mul(gradient, rms_inverse * per_channel(weight, x), out=products)
            else:
                x_gradient = torch.mul(gradient, per_channel(weight, x), out=products).mul_(rms_inverse)
        pull.mul_(rms_inverse.pow(3)).div_(x.numel() // rms_inverse.numel())
        return (
            x_gradient.addcmul_(exact, pull, value=-1).to(x.dtype),
            weight_gradient,
            bias_gradient,
            threshold_gradient,
            None,
            None,
        )


def _mean_square(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    count = math.prod(x.shape[axis] for axis in axes)
    side_by_side = x.stride(1) == 1 if axes == (1,) else x.is_contiguous() and axes[-1] == x.dim() - 1
    if side_by_side and count <= FEW_VALUES:
        return torch.linalg.vector_norm(x, dim=axes, keepdim=True).square_().div_(count)
    return x.square().mean(axes, keepdim=True)


def _is_same_at_all_positions(x: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether a statistic over `axes` is the same for all positions."""
    return set(range(2, x.dim())) <= set(axes)
