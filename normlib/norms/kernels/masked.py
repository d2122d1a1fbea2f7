"""Statistics over the valid values of an input alone, for the norms that take a mask.

In come inputs (N, C, *positions) with a mask of the same rank, True where a value counts; out go the standardized input and its
statistics. Everything is plain tensor operations, differentiable as often as wanted. This file moves no running statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import may_read_values


def masked_moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (C,) of the valid values of each channel of `x` (N, C, *positions), and how many these are.

    `x` is zero where `mask` (N, 1, *positions) is False. Of no value at all the mean is 0 and the variance 1.
    """
    count, mean, _, var = _moments(x, mask, [0, *range(2, x.dim())])
    return mean.flatten(), torch.where(count > 0, var, 1).flatten(), count.flatten()


def masked_moments_of_samples(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (N, C) of the valid positions of each sample of `x`, and how many these are, (N,); see `masked_moments`."""
    rows, valid = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2), mask.flatten(1).unsqueeze(1)  # (N, C, P), (N, 1, P)
    count, mean, _, var = _moments(rows, valid, [2])
    return mean.squeeze(2), torch.where(count > 0, var, 1).squeeze(2), count.flatten()


def standardize_groups(name: str, x: Tensor, mask: Tensor, num_groups: int, eps: float) -> Tensor:
    """`x` (N, C, *positions) standardized over the valid positions and the channels of each group, per sample, by the norm called `name`.

    A sample without valid positions comes out as zero.
    """
    grouped = x.unflatten(1, (num_groups, -1))  # (N, groups, C / groups, *positions)
    count, _, centred, var = _moments(grouped, mask.unsqueeze(1), list(range(2, grouped.dim())))
    refuse_single_values(
        name,
        count,
        "the valid positions of a sample's channel"
        if num_groups == x.shape[1]
        else "the channels and valid positions of a sample",
        "mask such a sample out, leave more of it valid, or use a norm with wider statistics",
    )
    rstd = torch.where(count > 0, var + eps, 1).rsqrt()  # finite where nothing is valid, at eps = 0 too
    return (centred * rstd).flatten(1, 2)


def _moments(x: Tensor, mask: Tensor, axes: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Over the valid values of `axes`: their number, their mean, `x` less that where it is valid, and the biased variance.

    `mask` broadcasts to `x`, which is zero where it is False. Statistics have the rank of `x`; of no value at all they are 0.
    """
    count = count_valid(x, mask, axes)
    at_least_one = count.clamp(min=1)
    mean = x.sum(axes, keepdim=True) / at_least_one
    centred = (x - mean).masked_fill(~mask, 0)
    return count, mean, centred, centred.square().sum(axes, keepdim=True) / at_least_one


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
