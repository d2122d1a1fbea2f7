"""Running averages of statistics, for the norms that keep any."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def move_towards(
    new_values: Mapping[Tensor, Tensor], num_batches_tracked: Tensor, momentum: float | None, guarded: bool
) -> None:
    """Move each running buffer towards its new value by `momentum` (None: the mean of all batches), and count the batch.

    `guarded`: where any new value is not finite, nothing moves and nothing is counted. Nothing here waits for the device.
    """
    if guarded:
        finite = torch.stack([value.isfinite().all() for value in new_values.values()]).all()
        num_batches_tracked.add_(finite)
    else:
        num_batches_tracked.add_(1)
    for buffer, value in new_values.items():
        if not guarded and momentum is not None and buffer.dtype is value.dtype:
            buffer.lerp_(value, momentum)
            continue
        weight = (1.0 / num_batches_tracked).to(value.dtype) if momentum is None else momentum
        moved = torch.lerp(buffer.to(value.dtype), value, weight)
        buffer.copy_(torch.where(finite, moved, buffer) if guarded else moved)
