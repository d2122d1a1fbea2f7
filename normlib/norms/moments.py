"""The base class of norms whose statistics follow from the mean and variance of each channel over the batch.

In: inputs (N, C, *positions). Out: their moments, also with a mask and over several processes. `RunningNorm` alone
would have to pick out or send all values for that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.batch_norm import measure as measure_without_gradient
from normlib.norms.kernels.inspection import is_channels_last, is_recomputing, may_read_values
from normlib.norms.kernels.masked import masked_moments
from normlib.norms.kernels.synchronized import moments_over_processes
from normlib.norms.running import RunningNorm, Statistics


class MomentsNorm(RunningNorm):
    """A norm whose statistics follow from mean and biased variance. They are these two unless a subclass says
    otherwise."""

    def from_moments(self, mean: Tensor, var: Tensor) -> Statistics:
        """The statistics that follow from the mean and the biased variance, (C,) each."""
        return {"mean": mean, "var": var}

    def measure(self, x: Tensor) -> Statistics:
        if x.requires_grad and torch.is_grad_enabled():
            var, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
            return self.from_moments(mean, var)
        return self.from_moments(*measure_without_gradient(x)[:2])

    def measure_part(self, x: Tensor, mask: Tensor | None, across_processes: bool = False) -> tuple[Statistics, Any]:
        if across_processes:
            mean, var, count = moments_over_processes(x, mask)
        elif mask is not None:
            mean, var, count = masked_moments(x, mask)
        else:
            return super().measure_part(x, mask)
        return self.from_moments(mean, var), count

    def _is_simple(self, x: Tensor) -> bool:
        """Whether the norm may go straight to its kernel.

        It may for a dense input on a CPU, if nothing is asked but what torch.nn has.
        """
        mean, weight, bias = (
            self._buffers.get("running_mean"),
            self._parameters.get("weight"),
            self._parameters.get("bias"),
        )
        simple_training = (
            self.update_running
            and self.track_running_stats
            and self.momentum is not None
            and self.norm_batch_size is None
            and not (self.guard or self.sync)
        )
        return (
            type(x) is Tensor
            and may_read_values(x)
            and (simple_training or not self.training)
            and self._statistics == "auto"
            and self.channel_dim == 1
            and mean is not None
            and weight is not None
            and bias is not None
            and mean.dtype is weight.dtype is bias.dtype is torch.float32
            and (x.dtype is torch.float32 or x.dtype is torch.bfloat16)
            and x.dim() > 1
            and x.shape[1] == self.num_features < x.numel()
            and (x.is_contiguous() or is_channels_last(x))
            and not torch.is_autocast_enabled("cpu")
            and not is_recomputing()
        )


def unbiased(var: Tensor, count: Any) -> Tensor:
    """The unbiased variance, from the biased one `var` over `count` values. 0 if a tensor `count` is one or zero."""
    return var * count / (count.clamp(min=2) - 1 if isinstance(count, Tensor) else count - 1)


def merge_moments(
    mean: Tensor, var: Tensor, other_mean: Tensor, other_var: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    """Mean and variance of two sets of values together (Chan, Golub, LeVeque 1983).

    `share` is the share of the values in the other set.
    """
    difference = other_mean - mean
    return mean + share * difference, torch.lerp(var, other_var, share) + share * (1 - share) * difference.square()
