"""Divides by the batch's deviation or by a line through the sample's, whichever is larger, in a few passes over memory.

In: tensors (N, C, *positions) in float32 or better, with their deviations. Out: tensors of the same shape, type and
memory format. This file knows no norm and takes no statistics.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import may_read_values

# Below about this many values, a call of Python from autograd takes longer (benchmarks/sample_kernels.py --norms evonorm_b0).
LARGE = 2**14


def divide_by_larger(x: Tensor, slope: Tensor, instance_deviation: Tensor, deviation: Tensor) -> Tensor:
    """x / max(deviation, slope * x + instance_deviation).

    `instance_deviation` is (N, C, 1, ...), `slope` and `deviation` are (C, 1, ...). Where both are equal, the gradient
    is that of `deviation`.
    """
    if not may_read_values(x) or x.numel() < LARGE:
        return divide_by_larger_formula(x, slope, instance_deviation, deviation)
    y: Tensor = _DividedByLarger.apply(x, slope, instance_deviation, deviation)
    return y


def divide_by_larger_formula(x: Tensor, slope: Tensor, instance_deviation: Tensor, deviation: Tensor) -> Tensor:
    """The same in plain steps.

    max(a, b) = a + relu(b - a) costs far less in the backward pass than torch.maximum.
    """
    return x / (deviation + F.relu(slope * x + (instance_deviation - deviation)))


class _DividedByLarger(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor, instance_deviation: Tensor, deviation: Tensor) -> Tensor:
        line = torch.mul(x, slope).add_(instance_deviation)
        divisor = torch.maximum(line, deviation, out=line)
        ctx.save_for_backward(x, slope, instance_deviation, deviation, divisor)
        return x / divisor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, slope, instance_deviation, deviation, divisor = ctx.saved_tensors
        if needs_formula(gradient):
            # `instance_deviation` depends on `x` too; the gradient of `x` here leaves that way out.
            with torch.enable_grad():
                inputs = [each.view_as(each) for each in (x, slope, instance_deviation, deviation)]
            return gradients_by_formula(divide_by_larger_formula, inputs, ctx.needs_input_grad, gradient)
        positions = tuple(range(2, x.dim()))
        to_x = gradient / divisor
        to_divisor = torch.mul(to_x, x).div_(divisor).neg_()
        above = divisor - deviation
        to_line = torch.ops.aten.threshold_backward(to_divisor, above, 0)
        of_line = to_line.sum(positions, keepdim=True)  # (N, C, 1, ...)
        to_deviation = (to_divisor.sum(positions, keepdim=True) - of_line).sum_to_size(deviation.shape)
        to_slope = torch.mul(to_line, x, out=to_divisor).sum((0, *positions)).view(slope.shape)
        to_x.add_(to_line.mul_(slope))
        return to_x, to_slope, of_line, to_deviation
