"""Statistics over the valid values of an input alone, for norms that take a mask.

In: inputs (N, C, *positions) with a mask of the same rank, True where a value counts. Out: the standardized input and
its statistics. These are plain tensor operations and can be differentiated any number of times. This file moves no
running statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import may_read_values


def masked_moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (C,) of the valid values of each channel of `x`, and their number.

    `x` (N, C, *positions) is zero where `mask` (N, 1, *positions) is False. If there is no value, the mean is 0 and the
    variance 1.
    """
    count, mean, _, var = _moments(x, mask, [0, *range(2, x.dim())])
    return mean.flatten(), torch.where(count > 0, var, 1).flatten(), count.flatten()


def masked_moments_of_samples(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (N, C) of the valid positions of each sample of `x`, and their number (N,).

    See `masked_moments`.
    """
    rows, valid = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2), mask.flatten(1).unsqueeze(1)  # (N, C, P), (N, 1, P)
    count, mean, _, var = _moments(rows, valid, [2])
    return mean.squeeze(2), torch.where(count > 0, var, 1).squeeze(2), count.flatten()


def standardize_groups(name: str, x: Tensor, mask: Tensor, num_groups: int, eps: float) -> Tensor:
    """`x` (N, C, *positions) standardized over the valid positions and the channels of each group, per sample.

    `name` is the norm's name in messages. A sample without valid positions comes out as zero.
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
    rstd = torch.where(count > 0, var + eps, 1).rsqrt()  # finite if nothing is valid, also at eps = 0
    return (centred * rstd).flatten(1, 2)


def _moments(x: Tensor, mask: Tensor, axes: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Moments over the valid values of `axes`.

    They are the number of values, their mean, `x` minus the mean where it is valid, and the biased variance. `mask`
    broadcasts to `x`, which is zero where it is False. Statistics have the rank of `x`. If there is no value, they are
    0.
    """
    count = count_valid(x, mask, axes)
    at_least_one = count.clamp(min=1)
    mean = x.sum(axes, keepdim=True) / at_least_one
    centred = (x - mean).masked_fill(~mask, 0)
    return count, mean, centred, centred.square().sum(axes, keepdim=True) / at_least_one


def fill_padding(x: Tensor, mask: Tensor) -> Tensor:
    """`x` with 1, 2, 3, ... over the channels where `mask` is False.

    Then statistics over channels alone are never zero there. The filled values do not come out. But with eps = 0, zeros
    would cause a division by zero and spoil the gradients of scale and shift.
    """
    ramp = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)
    return torch.where(mask, x, ramp.view((1, -1) + (1,) * (x.dim() - 2)))


def count_valid(x: Tensor, mask: Tensor, axes: list[int] | tuple[int, ...]) -> Tensor:
    """How many valid values of `x` each statistic over `axes` sees.

    `mask` has size 1 in a dimension of `x` where it is the same throughout.
    """
    count = mask.sum(axes, keepdim=True)
    for axis in axes:
        if mask.shape[axis] == 1:
            count = count * x.shape[axis]
    return count


def refuse_single_values(
    name: str, count: Tensor, over: str, fix: str, outcome: str = "the output would always be zero"
) -> None:
    """Refuse statistics if one of them sees a single value.

    `outcome` says what would come out, `over` what the statistics are over. Values can be read on a CPU alone, and not
    under torch.compile and torch.func. There the outcome does come out.
    """
    if may_read_values(count) and bool((count == 1).any()):
        raise ValueError(
            f"{name} takes its statistics over {over}, but for some there is only one such value: {outcome}; {fix}"
        )
