"""Normalization over the batch in plain steps that autograd and every transform of torch can follow.

In: tensors of shape (N, C, *positions). Out: the same values that the kernels for these formulas give. Nothing here
reads a layout, a device or a value.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from normlib.norms.kernels.axes import per_channel
from normlib.norms.kernels.inspection import statistics_dtype


class Measured(NamedTuple):
    """The mean and the biased variance of an input over the batch, both (C,).

    `shifted` is the input minus a constant per channel, in memory of its own, if the kernel computed it. `shifted_mean`
    is its mean.
    """

    mean: Tensor
    var: Tensor
    shifted: Tensor | None = None
    shifted_mean: Tensor | None = None


def measure_formula(x: Tensor) -> Measured:
    """`measure`, with gradients."""
    exact = x.to(statistics_dtype(x))
    axes = [0, *range(2, x.dim())]
    mean = exact.mean(axes, keepdim=True)  # (1, C, 1, ...)
    return Measured(mean.flatten(), (exact - mean).square().mean(axes))


def batch_norm_formula(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """`normalize_over_batch`."""
    exact = x.to(statistics_dtype(x))
    axes = [0, *range(2, x.dim())]
    mean = exact.mean(axes, keepdim=True)  # (1, C, 1, ...)
    centred = exact - mean
    var = centred.square().mean(axes)
    move(running_mean, running_var, Measured(mean.detach().flatten(), var.detach()), x, momentum)
    return _scaled(centred, var, weight, bias, eps).to(x.dtype)


def normalize_by_formula(
    mean: Tensor, var: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """`normalize_by`. Here `mean` and `var` have gradients too."""
    centred = x.to(statistics_dtype(x)) - mean.view((-1,) + (1,) * (x.dim() - 2))
    return _scaled(centred, var, weight, bias, eps).to(x.dtype)


def move(
    running_mean: Tensor | None, running_var: Tensor | None, measured: Measured, x: Tensor, momentum: float
) -> None:
    """Move running statistics, if there are any, towards those of `x`. The running variance is the unbiased one."""
    if running_mean is not None and running_var is not None:
        count = x.numel() // x.shape[1]
        # Tensor.lerp_ has no rule for torch.func.vmap.
        running_mean.mul_(1 - momentum).add_(measured.mean, alpha=momentum)
        running_var.mul_(1 - momentum).add_(measured.var, alpha=momentum * count / (count - 1))


def _scaled(centred: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    factor = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    y = centred * per_channel(factor, centred)
    return y if bias is None else y + per_channel(bias, centred)
