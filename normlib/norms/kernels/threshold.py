"""The larger of a value and a threshold per channel, in few passes and with an exact gradient of the threshold.

In: tensors of shape (N, C, *positions), and a threshold that broadcasts to them. Out: a tensor of the same shape, type
and memory format. This file knows no norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import may_read_values


def larger_of(x: Tensor, threshold: Tensor) -> Tensor:
    """The larger of `x` and `threshold`. Where they are equal, the gradient is the threshold's."""
    if not may_read_values(x):
        return larger_of_formula(x, threshold)
    if not torch.is_grad_enabled():
        return torch.maximum(x, threshold)
    y: Tensor = _LargerOf.apply(x, threshold)
    return y


def larger_of_formula(x: Tensor, threshold: Tensor) -> Tensor:
    """The same in plain steps. They take several times as long on a CPU, where truth values are not vectorized."""
    return torch.where(x > threshold, x, threshold)


class _LargerOf(torch.autograd.Function):
    """The gradient that does not go to `x` goes to the threshold. It is exactly zero if the threshold is never larger."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(x, threshold)
        return torch.maximum(x, threshold)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return split_gradient(gradient, *ctx.saved_tensors)


def split_gradient(gradient: Tensor, x: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Which part of the gradient of `larger_of` goes to `x`, and which to the threshold.

    `x` may also be the result of `larger_of`.
    """
    to_x = torch.ops.aten.threshold_backward(gradient, x - threshold, 0)
    return to_x, (gradient - to_x).sum_to_size(threshold.shape)
