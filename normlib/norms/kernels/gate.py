"""A value times the sigmoid of its multiple, in few passes over memory.

In: tensors (N, C, *positions) in float32 or better. Out: tensors of the same shape, type and memory format. This file
knows no norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import may_read_values

# Below about this many values, a call of Python from autograd takes longer (benchmarks/sample_kernels.py --norms evonorm_s0).
LARGE = 2**15


def gated(x: Tensor, slope: Tensor) -> Tensor:
    """x * sigmoid(slope * x), for a `slope` (C, 1, ...)."""
    if not may_read_values(x) or x.numel() < LARGE:
        return gated_formula(x, slope)
    if not torch.is_grad_enabled():
        return torch.mul(x, slope).sigmoid_().mul_(x)
    y: Tensor = _Gated.apply(x, slope)
    return y


def gated_formula(x: Tensor, slope: Tensor) -> Tensor:
    """The same in plain steps."""
    return x * torch.sigmoid(slope * x)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        gate = torch.mul(x, slope).sigmoid_()
        ctx.save_for_backward(x, slope, gate)
        return x * gate

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, slope, gate = ctx.saved_tensors
        if needs_formula(gradient):
            return gradients_by_formula(gated_formula, (x, slope), ctx.needs_input_grad, gradient)
        inner = torch.ops.aten.sigmoid_backward(gradient * x, gate)
        to_slope = (inner * x).sum((0, *range(2, x.dim()))).view(slope.shape) if ctx.needs_input_grad[1] else None
        return inner.mul_(slope).addcmul_(gradient, gate), to_slope
