"""Running averages in buffers that are updated in place.

In: the statistics of a batch, or of its groups of samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def move_towards(
    new_values: Sequence[tuple[Tensor, Tensor]],
    num_batches_tracked: Tensor,
    momentum: float | None,
    skip_nonfinite: bool,
    measured: Tensor | None = None,
) -> None:
    """Move each running buffer towards its new value by `momentum`, and count the batch.

    A `momentum` of None takes the mean of all batches. With `skip_nonfinite`, nothing moves and nothing is counted if
    any new value is not finite. The same holds if `measured`, one bool, is False. Nothing here waits for the device.
    """
    if skip_nonfinite:
        finite = torch.stack([value.isfinite().all() for _, value in new_values]).all()
        measured = finite if measured is None else finite & measured
    num_batches_tracked.add_(1 if measured is None else measured)
    for buffer, value in new_values:
        if measured is None and momentum is not None and buffer.dtype is value.dtype:
            buffer.lerp_(value, momentum)
            continue
        weight = num_batches_tracked.to(value.dtype).reciprocal() if momentum is None else momentum
        moved = torch.lerp(buffer.to(value.dtype), value, weight)
        buffer.copy_(moved if measured is None else torch.where(measured, moved, buffer))


def mean_of_parts(parts: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """The mean of the statistics of several parts of a batch."""
    return (
        parts[0]
        if len(parts) == 1
        else {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}
    )


def mean_of_measured(
    parts: Sequence[Mapping[str, Tensor]], counts: Sequence[Tensor]
) -> tuple[Mapping[str, Tensor], Tensor]:
    """The mean over the parts with two values or more (see `counts`), and whether there is such a part."""
    several = torch.stack([(count > 1).any() for count in counts])
    number = several.sum().clamp(min=1)
    total = {
        name: torch.stack([torch.where(one, part[name], 0) for one, part in zip(several, parts, strict=True)]).sum(0)
        for name in parts[0]
    }
    return {name: value / number for name, value in total.items()}, several.any()
