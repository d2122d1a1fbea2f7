"""Layer norm over the channels of each position, on any memory format.

In: tensors with their channels in dimension 1, or last. Out: tensors of the same shape, type and memory format. This
file knows no norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.affine import scale_and_shift
from normlib.norms.kernels.batch_moments import is_on_gpu
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import may_read_values, statistics_dtype
from normlib.norms.kernels.standardize import standardize

# From about this many values on, moving the channels of a contiguous input to the end and back for torch's layer norm takes
# longer than statistics over channels that stay where they are (benchmarks/sample_kernels.py).
LARGE = 2**16
# torch's backward (2.13) adds up the gradients of weight and bias in half precision. Up to this many rows they are off by no more
# than the rounding of half precision. At 1,024 rows they are off by 0.06 of the largest.
FEW_ROWS = 8
# Below about this many values, a call of Python from autograd takes longer than casts.
LARGE_HALF = 2**17


def normalize_positions(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """torch's layer norm of `x` (N, C, *positions) over its channels.

    If there are few values, the channels of the output lie side by side.
    """
    if x.dim() == 2:
        return normalize_rows(x, weight, bias, eps)
    if may_read_values(x) and x.is_contiguous() and x.numel() >= LARGE:
        return standardize(x, (1,), weight, bias, eps)
    return normalize_rows(x.movedim(1, -1), weight, bias, eps).movedim(-1, 1)


def normalize_rows(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """torch's layer norm of `x` (*rows, C) over its last dimension.

    On a CPU the gradients of weight and bias are summed in float32.
    """
    if weight is None or weight.dtype is x.dtype:
        return torch.layer_norm(x, x.shape[-1:], weight, bias, eps)
    if is_on_gpu(x):  # whose kernel wants one type for `x` and the weights
        x_hat = torch.layer_norm(x, x.shape[-1:], None, None, eps)
        return scale_and_shift(x_hat.reshape(-1, x.shape[-1]), weight, bias).view(x.shape)
    if not torch.is_grad_enabled() or x.numel() <= FEW_ROWS * x.shape[-1]:
        return torch.layer_norm(x, x.shape[-1:], weight, bias, eps)
    if may_read_values(x) and x.numel() >= LARGE_HALF:
        y: Tensor = _HalfRows.apply(x, weight, bias, eps)
        return y
    return torch.layer_norm(x.to(weight.dtype), x.shape[-1:], weight, bias, eps).to(x.dtype)


def layer_norm_formula(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """`normalize_rows` in plain steps."""
    exact = x.to(statistics_dtype(x))
    centred = exact - exact.mean(-1, keepdim=True)
    y = centred * (centred.square().mean(-1, keepdim=True) + eps).rsqrt()
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).to(x.dtype)


class _HalfRows(torch.autograd.Function):
    """torch's kernel in half precision, with its backward pass in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        y, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        if needs_formula(gradient):

            def formula(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
                return layer_norm_formula(x, weight, bias, ctx.eps)

            return *gradients_by_formula(formula, (x, weight, bias), needed, gradient), None
        # The casts of both are freed before the next one, which then uses their memory from the cache.
        found = _kernel_backward(
            gradient.to(mean.dtype), x.to(mean.dtype), x.shape[-1:], mean, rstd, weight, bias, list(needed)
        )
        return None if found[0] is None else found[0].to(x.dtype), found[1], found[2], None


_kernel_backward = torch.ops.aten.native_layer_norm_backward.default
