"""Statistics over the valid values of an input alone, for the norms that take a mask.

In come inputs (N, C, *positions) with a mask of the same rank, True where a value counts; out go the standardized input and its
statistics. Everything is plain tensor operations, differentiable as often as wanted. This file moves no running statistics.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import may_read_values


class Standardized(NamedTuple):
    """An input less its mean, over its deviation; how many values each statistic saw; the mean and the biased variance.

    All have the rank of the input, with 1 where a statistic was taken. A statistic of no value at all is 0, as is `x_hat` then.
    """

    x_hat: Tensor
    num_values: Tensor
    mean: Tensor
    var: Tensor


def masked_moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (C,) of the valid values of each channel of `x` (N, C, *positions), and how many these are.

    `x` is zero where `mask` (N, 1, *positions) is False. Of no value at all the mean is 0 and the variance 1.
    """
    axes = [0, *range(2, x.dim())]
    count = count_valid(x, mask, axes)
    at_least_one = count.clamp(min=1)
    mean = x.sum(axes, keepdim=True) / at_least_one
    var = (x - mean).masked_fill(~mask, 0).square().sum(axes, keepdim=True) / at_least_one
    return mean.flatten(), torch.where(count > 0, var, 1).flatten(), count.flatten()


def masked_moments_of_samples(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (N, C) of the valid positions of each sample of `x`, and how many these are, (N,); see `masked_moments`."""
    rows, valid = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2), mask.flatten(1).unsqueeze(1)  # (N, C, P), (N, 1, P)
    count = valid.sum(2)  # (N, 1)
    at_least_one = count.clamp(min=1)
    mean = rows.sum(2) / at_least_one
    var = (rows - mean.unsqueeze(2)).masked_fill(~valid, 0).square().sum(2) / at_least_one
    return mean, torch.where(count > 0, var, 1), count.squeeze(1)


def standardize_valid(x: Tensor, mask: Tensor, axes: list[int] | tuple[int, ...], eps: float) -> Standardized:
    """(x - mean) / sqrt(var + eps) over the valid values of `axes`. `mask` broadcasts to `x`, which is zero where it is False."""
    count = count_valid(x, mask, axes)
    at_least_one = count.clamp(min=1)
    mean = x.sum(axes, keepdim=True) / at_least_one
    centred = (x - mean).masked_fill(~mask, 0)
    var = centred.square().sum(axes, keepdim=True) / at_least_one
    rstd = torch.where(count > 0, var + eps, 1).rsqrt()  # finite where nothing is valid, at eps = 0 too
    return Standardized(centred * rstd, count, mean, var)


def standardize_groups(name: str, x: Tensor, mask: Tensor, num_groups: int, eps: float) -> Standardized:
    """`x` (N, C, *positions) standardized over the valid positions and the channels of each group, per sample, by the norm called `name`.

    The statistics have the shape (N, groups, 1, ...); a sample without valid positions comes out as zero.
    """
    grouped = x.unflatten(1, (num_groups, -1))  # (N, groups, C / groups, *positions)
    found = standardize_valid(grouped, mask.unsqueeze(1), list(range(2, grouped.dim())), eps)
    refuse_single_values(
        name,
        found.num_values,
        "the valid positions of a sample's channel"
        if num_groups == x.shape[1]
        else "the channels and valid positions of a sample",
        "mask such a sample out, leave more of it valid, or use a norm with wider statistics",
    )
    return found._replace(x_hat=found.x_hat.flatten(1, 2))


def fill_padding(x: Tensor, mask: Tensor) -> Tensor:
    """`x` with 1, 2, 3, ... over the channels where `mask` is False: statistics over channels alone are then never zero there.

    Nothing of that comes out, but a zero would be divided by at eps = 0, and spoil the gradients of scale and shift.
    """
    ramp = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)
    return torch.where(mask, x, ramp.view((1, -1) + (1,) * (x.dim() - 2)))


def count_valid(x: Tensor, mask: Tensor, axes: list[int] | tuple[int, ...]) -> Tensor:
    """How many valid values of `x` each statistic over `axes` sees; `mask` has 1 where it holds for a whole dimension of `x`."""
    count = mask.sum(axes, keepdim=True)
    for axis in axes:
        if mask.shape[axis] == 1:
            count = count * x.shape[axis]
    return count


def refuse_single_values(
    name: str, count: Tensor, over: str, fix: str, outcome: str = "it would always come out as zero"
) -> None:
    """Refuse statistics of which one sees a single value, of which `outcome` would come; `over` says of what they are.

    A look at values is possible on the CPU alone, and not under torch.compile and torch.func; there that does come of it.
    """
    if may_read_values(count) and bool((count == 1).any()):
        raise ValueError(
            f"{name} takes its statistics over {over}, but for some there is only one such value: {outcome}; {fix}"
        )
