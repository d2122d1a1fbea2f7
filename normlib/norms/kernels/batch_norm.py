"""Normalization over the batch: what batch norm and batch renorm share.

In come tensors of shape (N, C, *positions) in float32 or better, plain ones in half precision too; out go normalized tensors
of the same type and memory format.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normlib.norms.kernels.batch_moments import (
    FEW_SPREADS,
    FEW_VALUES,
    LARGE,
    MANY_VALUES,
    Measured,
    first_value_of_channels,
    is_channels_first,
    measure,
    measure_in_parts,
)
from normlib.norms.kernels.formula import gradients_by_formula, needs_formula
from normlib.norms.kernels.inspection import is_under_func, may_read_values, means_are_within, statistics_dtype

__all__ = ["apply_statistics", "measure", "normalize_by", "normalize_over_batch"]

_kernel_backward = torch.ops.aten.native_batch_norm_backward.default


def normalize_over_batch(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch norm of `x` (N, C, *positions) in training, in the memory format of `x` and right in all of them.

    torch's CPU kernel for channels-last and flat inputs adds up the values of a channel one by one in float32: at mean 1000
    and spread 0.01 it is off by 0.06 at 2,000 values a channel, and by more than 2 at 200,000. So its result stands where
    there are not too many values and every mean is within a few spreads of zero. Elsewhere the statistics are put together from parts,
    or, where there are none, taken of an input that is shifted by a constant per channel, which leaves the result the same.
    """
    if x.dim() == 3 and not x.is_contiguous():
        return normalize_over_batch(x.unsqueeze(2), running_mean, running_var, weight, bias, momentum, eps).squeeze(2)
    if running_mean is not None and running_var is not None:
        running_mean, running_var = _unwatched(running_mean), _unwatched(running_var)
    if is_channels_first(x):
        cudnn = not x.is_cpu and torch.backends.cudnn.enabled
        return torch.batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps, cudnn)
    if may_read_values(x):
        if x.numel() <= MANY_VALUES * x.shape[1]:
            tracked = () if running_mean is None or running_var is None else (running_mean, running_var)
            before = torch.stack(tracked) if tracked else ()
            y, mean, rstd = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
            if x.numel() <= FEW_VALUES * x.shape[1] or means_are_within(FEW_SPREADS, mean, rstd):
                return y
            for statistic, old in zip(tracked, before):
                statistic.copy_(old)
        if (measured := measure_in_parts(x.detach())) is not None:
            if running_mean is not None and running_var is not None:
                count = x.numel() // x.shape[1]
                running_mean.lerp_(measured.mean, momentum)
                running_var.lerp_(measured.var * (count / (count - 1)), momentum)
            return apply_statistics(x, measured, weight, bias, eps)
    reference = first_value_of_channels(x)  # (1, C, 1, ...)
    shifted = x.to(statistics_dtype(x)) - reference
    if running_mean is None or running_var is None:
        return F.batch_norm(shifted, None, None, weight, bias, True, momentum, eps).to(x.dtype)
    shifted_running_mean = running_mean - reference.flatten()
    y = F.batch_norm(shifted, shifted_running_mean, running_var, weight, bias, True, momentum, eps)
    running_mean.copy_(shifted_running_mean + reference.flatten())
    return y.to(x.dtype)


def normalize_by(
    mean: Tensor, var: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """weight * (x - mean) / sqrt(var + eps) + bias with given statistics (C,).

    torch's kernel has no derivative by these. Under torch.func, where a sample may have statistics of its own, it does not serve.
    """
    if torch.compiler.is_compiling() or not is_under_func():
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)
    per_channel = (-1,) + (1,) * (x.dim() - 2)
    factor = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    y = (x - mean.view(per_channel)) * factor.view(per_channel)
    return y if bias is None else y + bias.view(per_channel)


def apply_statistics(x: Tensor, measured: Measured, scale: Tensor | None, shift: Tensor | None, eps: float) -> Tensor:
    """scale * (x - mean) / sqrt(var + eps) + shift, with the statistics of `x` itself, whose dependence on `x` is in the gradient.

    May overwrite ``measured.shifted``.
    """
    plain = may_read_values(x)
    if plain and x.numel() >= LARGE:
        y: Tensor = _KnownStatistics.apply(x, measured, scale, shift, eps)
        return y
    if is_channels_first(x) or (plain and x.numel() <= FEW_VALUES * x.shape[1]):
        return F.batch_norm(x, None, None, scale, shift, True, 0.0, eps)
    shifted = x.to(statistics_dtype(x)) - first_value_of_channels(x)
    return F.batch_norm(shifted, None, None, scale, shift, True, 0.0, eps).to(x.dtype)


class _KnownStatistics(torch.autograd.Function):
    """torch's batch norm in training, with statistics that are known already; where there is a shifted input, written over it.

    That saves the half of the forward pass that takes the statistics.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, measured: Measured, scale: Tensor | None, shift: Tensor | None, eps: float
    ) -> Tensor:
        mean, var, shifted, shifted_mean = measured
        ctx.save_for_backward(x, mean, var, scale, shift)
        ctx.eps = eps
        if shifted is None or shifted_mean is None:
            y: Tensor = torch.native_batch_norm(x, scale, shift, mean, var, False, 0.0, eps)[0]
            return y
        per_channel = (1, -1) + (1,) * (x.dim() - 2)
        factor = (var + eps).rsqrt() if scale is None else scale * (var + eps).rsqrt()
        offset = -shifted_mean * factor if shift is None else torch.addcmul(shift, shifted_mean, factor, value=-1)
        return shifted.mul_(factor.view(per_channel)).add_(offset.view(per_channel)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, var, scale, shift = ctx.saved_tensors
        needed = [ctx.needs_input_grad[index] for index in (0, 2, 3)]  # x, scale, shift
        if needs_formula(gradient):

            def formula(x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
                centred = x.to(mean.dtype) - first_value_of_channels(x)
                return F.batch_norm(centred, None, None, scale, shift, True, 0.0, ctx.eps).to(x.dtype)

            to_x, to_scale, to_shift = gradients_by_formula(formula, (x, scale, shift), needed, gradient)
        else:
            rstd = (var + ctx.eps).rsqrt()
            to_x, to_scale, to_shift = _kernel_backward(
                gradient, x, scale, None, None, mean, rstd, True, ctx.eps, needed
            )
        return to_x, None, to_scale, to_shift, None


def _unwatched(buffer: Tensor) -> Tensor:
    """The same memory, out of sight of autograd.

    It keeps the running statistics for the backward pass, although that reads them in eval mode only, and would refuse to
    go back through a norm once a second call has moved them.
    """
    if torch.compiler.is_compiling():
        return buffer
    try:
        return buffer.data
    except RuntimeError:  # under torch.func.vmap there is no such thing, nor a second call
        return buffer
