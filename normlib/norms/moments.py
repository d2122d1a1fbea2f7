"""The base class of the norms whose statistics follow from the mean and the variance of each channel over the batch.

In come inputs (N, C, *positions), out go their moments: with a mask and over several processes, too, where those of `RunningNorm`
would have to pick or send all values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.batch_norm import measure as measure_without_gradient
from normlib.norms.kernels.masked import masked_moments
from normlib.norms.kernels.synchronized import moments_over_processes
from normlib.norms.running import RunningNorm, Statistics


class MomentsNorm(RunningNorm):
    """A norm whose statistics are `of_moments`: mean and biased variance, unless a subclass says otherwise."""

    def of_moments(self, mean: Tensor, var: Tensor) -> Statistics:
        """The statistics that follow from the mean and the biased variance, (C,) each."""
        return {"mean": mean, "var": var}

    def measure(self, x: Tensor) -> Statistics:
        if x.requires_grad and torch.is_grad_enabled():
            var, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
            return self.of_moments(mean, var)
        return self.of_moments(*measure_without_gradient(x)[:2])

    def measure_part(self, x: Tensor, mask: Tensor | None, together: bool = False) -> tuple[Statistics, Any]:
        if together:
            mean, var, count = moments_over_processes(x, mask)
        elif mask is not None:
            mean, var, count = masked_moments(x, mask)
        else:
            return super().measure_part(x, mask)
        return self.of_moments(mean, var), count


def unbiased(var: Tensor, count: Any) -> Tensor:
    """The unbiased variance, from the biased one `var` over `count` values; where a tensor says that there is one or none, 0."""
    return var * count / (count.clamp(min=2) - 1 if isinstance(count, Tensor) else count - 1)


def together(mean: Tensor, var: Tensor, other_mean: Tensor, other_var: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Mean and variance of two sets of values together, of which the other is the share `share` (Chan, Golub, LeVeque 1983)."""
    difference = other_mean - mean
    return mean + share * difference, torch.lerp(var, other_var, share) + share * (1 - share) * difference.square()
