"""Normalization over the batch: what batch norm and batch renorm share.

In come tensors of shape (N, C, *positions) in float32 or better; out go normalized tensors, or statistics of shape (C,).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from normlib.norms.base import Norm

# Up to this many values of a channel, torch's channels-last and flat kernels are as accurate as the contiguous one: off by
# at most 0.015 at mean 1000 and spread 0.01 (measured).
FEW_VALUES = 8
# From about this many values on, a pass over them takes longer than a call of Python from autograd.
LARGE = 2**16
# Rows whose plain sum is exact enough, where the means of many such parts are averaged: at mean 1000 and spread 0.01 the
# mean is then off by less than 0.01 spreads, as that of the contiguous kernel (measured).
ROWS_OF_A_PART = 2**7


def require_batch(norm: Norm, x: Tensor, groups: int) -> None:
    """Refuse a batch that has one value a channel in (the smallest of) its groups of samples."""
    count = x.numel() // x.shape[1] if groups == 1 else x.shape[0] // groups * x[0, 0].numel()
    norm.require_several_values(
        count,
        x,
        "the samples and positions of the batch",
        "use larger batches, or a norm that does not depend on the batch",
    )


def split(x: Tensor, groups: int) -> tuple[Tensor, ...]:
    """`x` in `groups` consecutive groups of samples, as equal as possible."""
    return (x,) if groups == 1 else x.tensor_split(groups)


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
    and spread 0.01 it is off by 0.06 at 2,000 values a channel, and by more than 2 at 200,000. So a few values go through it as they are,
    more are shifted by a constant per channel first, which leaves the result the same, and for many the statistics are taken here.
    """
    if x.dim() == 3 and not x.is_contiguous():
        return normalize_over_batch(x.unsqueeze(2), running_mean, running_var, weight, bias, momentum, eps).squeeze(2)
    if _is_large(x):
        measured = measure(x)
        if running_mean is not None and running_var is not None:
            count = x.numel() // x.shape[1]
            running_mean.lerp_(measured.mean, momentum)
            running_var.lerp_(measured.var * (count / (count - 1)), momentum)
        return apply_statistics(x, measured, weight, bias, eps)
    if _native_kernel_is_right(x):
        if running_mean is not None and running_var is not None:
            running_mean, running_var = _unwatched(running_mean), _unwatched(running_var)
        return F.batch_norm(x, running_mean, running_var, weight, bias, True, momentum, eps)
    reference = _first_value_of_channels(x)  # (1, C, 1, ...)
    if running_mean is None or running_var is None:
        return F.batch_norm(x - reference, None, None, weight, bias, True, momentum, eps)
    shifted_running_mean = running_mean - reference.flatten()
    y = F.batch_norm(x - reference, shifted_running_mean, _unwatched(running_var), weight, bias, True, momentum, eps)
    running_mean.copy_(shifted_running_mean + reference.flatten())
    return y


class Measured(NamedTuple):
    """The mean and the biased variance of an input over the batch, both (C,); the input shifted by a constant per channel, and its mean."""

    mean: Tensor
    var: Tensor
    shifted: Tensor
    shifted_mean: Tensor


def measure(x: Tensor) -> Measured:
    """Statistics of `x` over the batch, without gradients."""
    if _is_large(x):
        x = x.detach()  # `apply_statistics` has its own gradient
    if x.is_cpu and x.dim() > 2 and _is_channels_first(x):  # here torch's own statistics take as long as all the rest
        axes = [0, *range(2, x.dim())]
        mean = x.detach().mean(axes, keepdim=True)  # (1, C, 1, ...)
        centred = x - mean
        return Measured(mean.flatten(), centred.detach().square().mean(axes), centred, torch.zeros_like(mean).flatten())
    if _native_kernel_is_right(x):
        mean, var = _mean_and_var(x.detach())
        return Measured(mean, var, x, mean)
    reference = _first_value_of_channels(x)
    shifted = x - reference
    mean, var = _mean_and_var(shifted.detach())
    return Measured(mean + reference.flatten(), var, shifted, mean)


def apply_statistics(x: Tensor, measured: Measured, scale: Tensor | None, shift: Tensor | None, eps: float) -> Tensor:
    """scale * (x - mean) / sqrt(var + eps) + shift, with the statistics of `x` itself, whose dependence on `x` is in the gradient.

    Overwrites ``measured.shifted`` where `x` is large.
    """
    if _is_large(x):
        return _KnownStatistics.apply(
            x, measured.mean, measured.var, (measured.shifted,), measured.shifted_mean, scale, shift, eps
        )
    return F.batch_norm(measured.shifted, None, None, scale, shift, True, 0.0, eps)


def _is_large(x: Tensor) -> bool:
    return x.is_cpu and x.numel() >= LARGE and x.numel() > FEW_VALUES * x.shape[1] and not torch.compiler.is_compiling()


class _KnownStatistics(torch.autograd.Function):
    """torch's batch norm in training, with statistics that are known already, written over the shifted input that they came from.

    That saves the half of the forward pass that takes the statistics, and another tensor as large as the input.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor,
        mean: Tensor,
        var: Tensor,
        memory: tuple[Tensor],
        shifted_mean: Tensor,
        scale: Tensor | None,
        shift: Tensor | None,
        eps: float,
    ) -> Tensor:
        (shifted,) = memory  # not an input of its own, which could not be returned
        per_channel = (1, -1) + (1,) * (x.dim() - 2)
        factor = (var + eps).rsqrt() if scale is None else scale * (var + eps).rsqrt()
        offset = -shifted_mean * factor if shift is None else torch.addcmul(shift, shifted_mean, factor, value=-1)
        return shifted.mul_(factor.view(per_channel)).add_(offset.view(per_channel))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, mean, var, _, _, scale, shift, ctx.eps = inputs
        ctx.save_for_backward(x, mean, var, scale, shift)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, var, scale, shift = ctx.saved_tensors
        needed = [ctx.needs_input_grad[index] for index in (0, 5, 6)]  # x, scale, shift
        if torch.is_grad_enabled():  # to be differentiated again
            wanted = [tensor for tensor, asked in zip((x, scale, shift), needed, strict=True) if asked]
            y = F.batch_norm(x - _first_value_of_channels(x), None, None, scale, shift, True, 0.0, ctx.eps)
            found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=True))
            to_x, to_scale, to_shift = (next(found) if asked else None for asked in needed)
        else:
            to_x, to_scale, to_shift = torch.ops.aten.native_batch_norm_backward(
                gradient, x, scale, None, None, mean, (var + ctx.eps).rsqrt(), True, ctx.eps, needed
            )
        return to_x, None, None, None, None, to_scale, to_shift, None


def _mean_and_var(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel. torch.var_mean takes twenty times as long, but alone works without data."""
    if x.is_meta or torch.compiler.is_compiling():
        var, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
        return mean, var
    return torch.ops.aten.batch_norm_update_stats(x, None, None, 0.0)


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


def _native_kernel_is_right(x: Tensor) -> bool:
    return x.numel() <= FEW_VALUES * x.shape[1] or _is_channels_first(x)


def _is_channels_first(x: Tensor) -> bool:
    return x.is_contiguous() and x.stride(1) != 1


def _first_value_of_channels(x: Tensor) -> Tensor:
    return x.detach()[(slice(0, 1), slice(None)) + (slice(0, 1),) * (x.dim() - 2)]
