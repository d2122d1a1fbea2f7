"""Division by the root of a mean of squares, in a few passes over memory: what RMS norm and filter response norm share.

In come tensors of shape (N, C, *positions), out go tensors of the same shape, type and memory format. Nothing here knows a norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms._eager import is_plain, statistics_dtype

# Below about this many values, steps that autograd follows by itself take less time than a call of Python from autograd.
LARGE = 2**14


def divide_by_rms(
    x: Tensor, axes: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float | Tensor
) -> Tensor:
    """weight * x / sqrt(mean of squares over `axes` + eps) + bias; weight and bias are per channel."""
    if x.numel() >= LARGE and not isinstance(eps, Tensor) and is_plain(x):
        y: Tensor = _DividedByRMS.apply(x, weight, bias, axes, eps)
        return y
    return _formula(x, weight, bias, axes, eps)


def _formula(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, axes: tuple[int, ...], eps: float | Tensor
) -> Tensor:
    """In steps that autograd can follow. Where a factor is the same at all positions, it is multiplied by `weight` first."""
    exact = x.to(statistics_dtype(x))
    factor = (exact.square().mean(axes, keepdim=True) + eps).rsqrt()
    if weight is not None and factor.numel() <= x.shape[0] * x.shape[1]:
        factor, weight = factor * _per_channel(weight, x), None
    scaled = factor if weight is None else _per_channel(weight, x)
    exact = exact if weight is None else exact * factor
    y = exact * scaled if bias is None else torch.addcmul(_per_channel(bias, x), exact, scaled)
    return y.to(x.dtype)


class _DividedByRMS(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, axes: tuple[int, ...], eps: float
    ) -> Tensor:
        exact = x.to(statistics_dtype(x))
        y = exact.square()
        rms_inverse = y.mean(axes, keepdim=True).add_(eps).rsqrt_()
        if weight is None:
            torch.mul(exact, rms_inverse, out=y)
        elif rms_inverse.numel() <= x.shape[0] * x.shape[1]:
            torch.mul(exact, rms_inverse * _per_channel(weight, x), out=y)
        else:
            torch.mul(exact, rms_inverse, out=y).mul_(_per_channel(weight, x))
        if bias is not None:
            y.add_(_per_channel(bias, x))
        ctx.save_for_backward(x, weight, bias, rms_inverse)
        ctx.axes, ctx.eps = axes, eps
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, rms_inverse = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # to be differentiated again
            y = _formula(x, weight, bias, ctx.axes, ctx.eps)
            wanted = [tensor for tensor, asked in zip((x, weight, bias), (to_x, to_weight, to_bias)) if asked]
            found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=True))
            return *(next(found) if asked else None for asked in (to_x, to_weight, to_bias)), None, None
        positions = tuple(range(2, x.dim()))
        exact, gradient = x.to(rms_inverse.dtype), gradient.to(rms_inverse.dtype)
        bias_gradient = gradient.sum((0, *positions)) if to_bias else None
        products = gradient * exact
        if not set(positions) - set(ctx.axes):  # factors are the same at all positions, so sums over them come first
            sums = products.sum(positions, keepdim=True) if positions else products  # (N, C, 1, ...)
        else:
            sums = products
        weight_gradient = (sums * rms_inverse).sum((0, *positions)) if to_weight else None
        if not to_x:
            return None, weight_gradient, bias_gradient, None, None
        if weight is not None:
            sums = sums * _per_channel(weight, x)
        count = x.numel() // rms_inverse.numel()
        pull = sums.sum(ctx.axes, keepdim=True).mul_(rms_inverse.pow(3)).div_(count)
        to_gradient = rms_inverse if weight is None else rms_inverse * _per_channel(weight, x)
        x_gradient = torch.mul(gradient, to_gradient, out=products).addcmul_(exact, pull, value=-1)
        return x_gradient.to(x.dtype), weight_gradient, bias_gradient, None, None


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.view((1, -1) + (1,) * (x.dim() - 2))
