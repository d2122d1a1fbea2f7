"""What a norm with running statistics implements: what it measures, how that normalizes, and how it is averaged.

In: inputs (N, C, *positions). Out: statistics and normalized inputs. `running.py` decides which of these are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from normlib.norms.base import Norm
from normlib.norms.kernels.inspection import statistics_dtype, value_before_update
from normlib.norms.kernels.synchronized import gather_values

Statistics = Mapping[str, Tensor]


class MeasuringNorm(Norm):
    """The methods of `RunningNorm` that a norm implements.

    Two are required. The others are for norms that can do better or quicker than the defaults.
    """

    _starts: Mapping[str, float | Tensor]

    # ---- what a norm implements -------------------------------------------------------------------------------

    def measure(self, x: Tensor) -> Mapping[str, Tensor]:
        """The statistics of all values of `x`, by name, in float32 or better.

        Each is (C,), or has the shape that it starts at. `x` is (N, C, *positions), or (values, C) if a mask or other
        processes have chosen the values. Gradients flow through.
        """
        raise NotImplementedError(f"{self._name} has to implement measure(self, x): its statistics of x, by name")

    def normalize(self, x: Tensor, *_: Any, **statistics: Any) -> Tensor:
        """`x` (N, C, *positions) normalized with the given statistics, not yet scaled and shifted."""
        raise NotImplementedError(f"{self._name} has to implement normalize(self, x, {', '.join(self._starts)})")

    # ---- what a norm may implement: other averages, and kernels that do several steps at once -----------------------

    def averaged(self, statistics: Statistics, count: Any) -> Statistics:
        """What the running averages take from the statistics of `count` values."""
        return statistics

    def combine(self, one: Statistics, other: Statistics, share: float) -> Statistics:
        """The statistics of two sets of values together: by default their weighted mean.

        `share` is the share of the values that `other` has.
        """
        return {name: torch.lerp(one[name], other[name], share) for name in self._starts}

    def running(self, x: Tensor) -> dict[str, Tensor]:
        """The running statistics by name, in the type that statistics of `x` have.

        A norm may add whatever else of its state `normalize_by_measured` needs.
        """
        dtype, kept = statistics_dtype(x), {name: self._buffers[f"running_{name}"] for name in self._starts}
        read = value_before_update if self.training else lambda value: value
        return {name: read(value).to(dtype) for name, value in kept.items()}

    def normalize_by_running(self, x: Tensor, running: Statistics) -> Tensor:
        """`normalize` with statistics that are constants, then scale and shift."""
        return self.scale_and_shift(self.normalize(x, **{name: running[name] for name in self._starts}))

    def normalize_by_measured(self, x: Tensor, statistics: Statistics, running: Statistics) -> Tensor:
        """`normalize` with the batch's statistics, then scale and shift.

        `running` are the running statistics from before the batch.
        """
        return self.scale_and_shift(self.normalize(x, **statistics))

    def measure_and_normalize(self, x: Tensor, running: Statistics) -> tuple[Tensor, Statistics]:
        """`normalize_by_measured` with what `measure` gives for `x`, and those statistics."""
        statistics = self.measure(x)
        return self.normalize_by_measured(x, statistics, running), statistics

    def num_values(self, x: Tensor) -> int:
        """How many values each statistic of `x` is taken over."""
        return x.numel() // x.shape[1]

    def measure_part(self, x: Tensor, mask: Tensor | None, across_processes: bool = False) -> tuple[Statistics, Any]:
        """The statistics of the valid values of `x`, and how many values each is taken over.

        With `across_processes`, the values of all processes count.
        """
        if mask is None and not across_processes:
            return self.measure(x), self.num_values(x)
        rows = x.movedim(1, -1)
        values = rows.flatten(0, -2) if mask is None else rows[mask.squeeze(1)]  # (values, C)
        values = gather_values(values) if across_processes else values
        if len(values) == 0:  # these statistics are not used, but they have to be finite
            return self.measure(torch.arange(1, 3).to(values).unsqueeze(1).expand(2, x.shape[1])), 0
        return self.measure(values), len(values)
