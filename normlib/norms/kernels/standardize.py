"""Standardization over any axes in a few passes over memory, for layouts without a good kernel of torch.

In: plain tensors on a CPU, (N, C, *positions). Out: tensors of the same shape, type and memory format. Nothing here
knows a norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.axes import per_channel
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import statistics_dtype


def standardize(x: Tensor, axes: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """weight * (x - mean) / sqrt(var + eps) + bias, with statistics over `axes`. Weight and bias are per channel."""
    return _Standardized.apply(x, weight, bias, axes, eps)


def _formula(x: Tensor, weight: Tensor | None, bias: Tensor | None, axes: tuple[int, ...], eps: float) -> Tensor:
    """The same in steps that autograd can follow."""
    centred = x - x.mean(axes, keepdim=True)
    y = centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    y = y if weight is None else y * per_channel(weight, x)
    return y if bias is None else y + per_channel(bias, x)


class _Standardized(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, axes: tuple[int, ...], eps: float
    ) -> Tensor:
        exact = x.to(statistics_dtype(x))
        mean = exact.mean(axes, keepdim=True)
        y = exact - mean
        rstd = y.square().mean(axes, keepdim=True).add_(eps).rsqrt_()
        y.mul_(rstd)
        if weight is not None:
            y.mul_(per_channel(weight, x))
        if bias is not None:
            y.add_(per_channel(bias, x))
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.axes, ctx.eps = axes, eps
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad[:3]
        if needs_formula(gradient):

            def formula(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
                return _formula(x.to(mean.dtype), weight, bias, ctx.axes, ctx.eps).to(x.dtype)

            needed = (to_x, to_weight, to_bias)
            return *gradients_by_formula(formula, (x, weight, bias), needed, gradient), None, None
        of_a_channel = [0, *range(2, x.dim())]
        gradient = gradient.to(mean.dtype)
        x_hat = (x.to(mean.dtype) - mean).mul_(rstd)
        products = gradient * x_hat
        weight_gradient = products.sum(of_a_channel) if to_weight else None
        bias_gradient = gradient.sum(of_a_channel) if to_bias else None
        if not to_x:
            return None, weight_gradient, bias_gradient, None, None
        if weight is not None:
            gradient = gradient * per_channel(weight, x)
            products.mul_(per_channel(weight, x))
        x_hat.mul_(products.mean(ctx.axes, keepdim=True)).add_(gradient.mean(ctx.axes, keepdim=True))
        x_gradient = torch.sub(gradient, x_hat, out=x_hat).mul_(rstd)
        return x_gradient.to(x.dtype), weight_gradient, bias_gradient, None, None
