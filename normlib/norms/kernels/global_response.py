"""Global response normalization in a few passes over memory.

In: tensors (N, C, *positions) in float32 or better. Out: tensors of the same shape, type and memory format. This file
knows no norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.axes import per_channel
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import may_read_values

# Below about this many values, a call of Python from autograd takes longer (benchmarks/sample_kernels.py --norms grn).
LARGE = 2**15
# Up to this many positions, torch's vector length is exact to 5e-7 if they lie side by side (see root_mean_square.py).
FEW_VALUES = 2**14


def strengthen_by_response(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """x * (1 + weight * G / (mean of G over channels + eps)) + bias. G is the length of `x` over positions."""
    if x.dim() == 2 or not may_read_values(x) or x.numel() < LARGE:
        return strengthen_formula(x, weight, bias, eps)
    if not torch.is_grad_enabled():
        return _strengthened(x, weight, bias, eps)[0]
    y: Tensor = _Strengthened.apply(x, weight, bias, eps)
    return y


def strengthen_formula(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The same in plain steps."""
    positions = list(range(2, x.dim()))
    response = torch.linalg.vector_norm(x, dim=positions, keepdim=True) if positions else x.abs()  # (N, C, 1, ...)
    factor = response / (response.mean(1, keepdim=True) + eps)
    scale = torch.addcmul(x.new_ones(()), factor, per_channel(weight, x))
    return x * scale + per_channel(bias, x)


def _strengthened(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and the response and the scale, (N, C, 1, ...) each."""
    positions = tuple(range(2, x.dim()))
    last = x.stride(1) == 1
    if last or x.numel() > FEW_VALUES * x.shape[0] * x.shape[1]:
        response = x.square().sum(positions, keepdim=True).sqrt_()
    else:
        response = torch.linalg.vector_norm(x, dim=positions, keepdim=True)
    scale = response / (response.mean(1, keepdim=True) + eps) * per_channel(weight, x) + 1
    if last:  # quick if neighbours in memory have different factors, slow if they share one
        return torch.addcmul(per_channel(bias, x), x, scale), response, scale
    return torch.mul(x, scale).add_(per_channel(bias, x)), response, scale


class _Strengthened(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y, response, scale = _strengthened(x, weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, response, scale)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, response, scale = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        if needs_formula(gradient):

            def formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
                return strengthen_formula(x, weight, bias, ctx.eps)

            return *gradients_by_formula(formula, (x, weight, bias), needed, gradient), None
        positions = tuple(range(2, x.dim()))
        products = gradient * x
        pull = products.sum(positions, keepdim=True)  # gradient of `scale`, (N, C, 1, ...)
        average = response.mean(1, keepdim=True) + ctx.eps
        to_weight = (pull * response / average).sum(0).flatten() if needed[1] else None
        to_bias = gradient.sum((0, *positions)) if needed[2] else None
        if not needed[0]:
            return None, to_weight, to_bias, None
        to_factor = pull * per_channel(weight, x)
        to_response = to_factor / average - (to_factor * response).mean(1, keepdim=True) / average.square()
        # as in torch, the length of zeros has the gradient zero
        along = torch.where(response > 0, to_response / response, 0)
        to_x = torch.mul(x, along, out=products)
        if x.stride(1) == 1:
            return to_x.addcmul_(gradient, scale), to_weight, to_bias, None
        return to_x.add_(gradient * scale), to_weight, to_bias, None
