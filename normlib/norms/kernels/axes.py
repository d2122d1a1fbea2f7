"""Broadcasts a statistic over all axes but the channels, and takes means over them."""

from __future__ import annotations

from torch import Tensor


def per_channel(statistic: Tensor, x: Tensor) -> Tensor:
    """A statistic (C,) in a shape that broadcasts to `x` (N, C, *positions)."""
    return statistic.view(-1, *(1,) * (x.dim() - 2))


def mean_over_batch(x: Tensor) -> Tensor:
    """The mean (C,) of `x` (N, C, *positions) over samples and positions."""
    return x.mean([0, *range(2, x.dim())])
