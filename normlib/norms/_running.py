"""Running averages of statistics, for the norms that keep any.

In come the statistics of a batch, or those of its groups of samples; the running buffers move in place.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def move_towards(
    new_values: Mapping[Tensor, Tensor],
    num_batches_tracked: Tensor,
    momentum: float | None,
    guarded: bool,
    measured: Tensor | None = None,
) -> None:
    """Move each running buffer towards its new value by `momentum` (None: the mean of all batches), and count the batch.

    `guarded`: where any new value is not finite, nothing moves and nothing is counted. The same holds where `measured`, one bool,
    is False. Nothing here waits for the device.
    """
    if guarded:
        finite = torch.stack([value.isfinite().all() for value in new_values.values()]).all()
        measured = finite if measured is None else finite & measured
    num_batches_tracked.add_(1 if measured is None else measured)
    for buffer, value in new_values.items():
        if measured is None and momentum is not None and buffer.dtype is value.dtype:
            buffer.lerp_(value, momentum)
            continue
        weight = (1.0 / num_batches_tracked).to(value.dtype) if momentum is None else momentum
        moved = torch.lerp(buffer.to(value.dtype), value, weight)
        buffer.copy_(moved if measured is None else torch.where(measured, moved, buffer))


def mean_of_measured(values: Tensor, counts: Tensor) -> Tensor:
    """The mean (C,) of `values` (parts, C), statistics of parts of a batch, over the parts that have two values or more.

    `counts` (parts, 1) says how many values each part has. Where none has two, the mean is 0.
    """
    several = counts > 1
    return values.detach().masked_fill(~several, 0).sum(0) / several.sum(0).clamp(min=1)


def unbiased(var: Tensor, counts: Tensor) -> Tensor:
    """The unbiased variance, from the biased one `var` over `counts` values; where that is one value or none, 0."""
    return var * counts / (counts - 1).clamp(min=1)
