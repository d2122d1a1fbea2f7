"""Scales the channels of each position to one Euclidean length, in a few passes over memory.

In: tensors (N, C, *positions) in float32 or better. Out: tensors of the same shape, type and memory format. This file
knows no norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import may_read_values

# Below about this many values, a call of Python from autograd takes longer (benchmarks/sample_kernels.py --norms scale_norm).
LARGE = 2**16


def scale_to_length(x: Tensor, length: Tensor, eps: float) -> Tensor:
    """length * x / max(length of `x` over its channels, eps). `length` is one number."""
    if not torch.is_grad_enabled() or not may_read_values(x) or x.numel() < LARGE:
        return scale_to_length_formula(x, length, eps)
    y: Tensor = _ScaledToLength.apply(x, length, eps)
    return y


def scale_to_length_formula(x: Tensor, length: Tensor, eps: float) -> Tensor:
    """The same in plain steps."""
    return x * (x.square().sum(1, keepdim=True).clamp(min=eps**2).rsqrt() * length)


class _ScaledToLength(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, length: Tensor, eps: float) -> Tensor:
        inverse = x.square().sum(1, keepdim=True).clamp_(min=eps**2).rsqrt_()  # (N, 1, *positions)
        ctx.save_for_backward(x, length, inverse)
        ctx.eps = eps
        return x * (inverse * length)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, length, inverse = ctx.saved_tensors
        needed = ctx.needs_input_grad[:2]
        if needs_formula(gradient):

            def formula(x: Tensor, length: Tensor) -> Tensor:
                return scale_to_length_formula(x, length, ctx.eps)

            to_x, to_length = gradients_by_formula(formula, (x, length), needed, gradient)
            return to_x, to_length, None
        products = gradient * x
        along = products.sum(1, keepdim=True) * inverse  # (N, 1, *positions)
        to_length = along.sum().view(length.shape) if needed[1] else None
        if not needed[0]:
            return None, to_length, None
        if ctx.eps > 0:  # a length that was replaced by eps is a constant
            along = torch.where(inverse < 1 / ctx.eps, along, 0)
        torch.mul(x, along * inverse, out=products)
        return torch.sub(gradient, products, out=products).mul_(inverse * length), to_length, None
