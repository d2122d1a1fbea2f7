"""Batch statistics where torch's kernels do not serve: with a mask, and over several processes.

In come a norm over the batch and its input, out goes the normalized input, and the norm's running statistics have moved. The
batch falls into parts that share statistics: its groups of samples, or one part of which every process has a share.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms._running import mean_of_measured, move_towards
from normlib.norms.kernels.masked import Standardized, refuse_single_values, standardize_valid
from normlib.norms.kernels.synchronized import joins_other_processes, standardize_over_processes

FIX = "leave more of the batch valid, or use a norm that does not depend on the batch"


def transform_parts(norm: Any, x: Tensor, mask: Tensor | None, guarded: bool) -> Tensor:
    """`Norm.transform` for `norm`, which has three methods for it.

    ``by_running_statistics(x, moves)`` is the output with the running statistics as they are, even if they move before its
    backward pass; ``corrected(part)`` is what comes of a standardized part before scale and shift; ``running_values(mean, var,
    counts)`` names for each running buffer the value of each part, from the statistics of the parts.
    """
    by_batch, moves = norm.uses_batch_statistics, norm.moves_running_statistics
    y: Tensor | None = None if by_batch else norm.by_running_statistics(x, moves)
    if y is not None and not moves:
        return y
    parts = _standardized(norm, x if by_batch else x.detach(), mask)
    if y is None:
        y = norm.scale_and_shift(torch.cat([norm.corrected(part) for part in parts]))
    if moves:
        counts, means, variances = (
            torch.cat([statistic.detach().flatten(1) for statistic in statistics])
            for statistics in list(zip(*parts))[1:]  # (parts, 1), (parts, C), (parts, C)
        )
        values = norm.running_values(means, variances, counts)
        new = {buffer: mean_of_measured(value, counts) for buffer, value in values.items()}
        move_towards(new, norm.num_batches_tracked, norm.momentum, guarded or norm.guard, (counts > 1).any())
    return y


def _standardized(norm: Any, x: Tensor, mask: Tensor | None) -> list[Standardized]:
    if joins_other_processes(norm):
        parts = [standardize_over_processes(x, mask, norm.eps)]
        over = "the samples and positions of all processes"
    else:
        assert mask is not None
        groups = norm.num_groups_of_samples(x.shape[0])
        require_batch(norm, x, groups)
        axes = [0, *range(2, x.dim())]
        pairs = zip(split(x, groups), split(mask, groups))
        parts = [standardize_valid(part, valid, axes, norm.eps) for part, valid in pairs]
        over = "the valid samples and positions of the batch"
    counts = torch.cat([part.num_values.flatten() for part in parts])
    refuse_single_values(type(norm).__name__, counts, over, FIX)
    return parts


def require_batch(norm: Any, x: Tensor, groups: int) -> None:
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
