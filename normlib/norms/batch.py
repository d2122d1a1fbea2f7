"""Batch normalization."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from normlib.norms import register
from normlib.norms._over_batch import normalize_over_batch, require_batch, split
from normlib.norms._running import move_towards
from normlib.norms.base import Norm


@register("batch", statistics_over="samples and positions, per channel", paper="arXiv:1502.03167")
class BatchNorm(Norm, _BatchNorm):
    """Standardizes each channel over all samples and positions of the batch; at inference with running averages.

    .. math:: y = \\gamma \\frac{x - \\mathrm{E}[x]}{\\sqrt{\\mathrm{Var}[x] + \\epsilon}} + \\beta

    Axes: N and positions, per channel. The biased variance normalizes; the running variance keeps the unbiased one.
    `momentum` is the weight of the new value in the running averages, as in torch.nn (the papers and Keras give the
    weight of the old one: their 0.99 is 0.01 here); None averages all batches alike.

    Shapes: (N, C, *positions) to the same, any number of positions, none too; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Ioffe, Szegedy 2015, "Batch Normalization", arXiv:1502.03167, algorithm 1; running averages as in torch.nn.

    Deviations: with `norm_batch_size` set, statistics are those of groups of samples (ghost batches, arXiv:1705.08741)
    and the running averages take the mean over the groups. Under float16 or autocast (with `guard`, always) a batch
    that is not finite does not enter them.
    """

    depends_on_batch: ClassVar[bool] = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        guard: bool = False,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _BatchNorm.__init__(self, num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype)
        self.guard = guard
        self._set_switches(channel_dim)

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        by_batch, moves = self.uses_batch_statistics, self.moves_running_statistics
        weight, bias = self.parameters_as(x)
        mean, var = self.running_mean, self.running_var
        if not by_batch and not moves:
            return F.batch_norm(x, _as(mean, x), _as(var, x), weight, bias, False, 0.0, self.eps)
        groups = self.num_groups_of_samples(x.shape[0])
        require_batch(self, x, groups)
        if not moves:
            parts = [normalize_over_batch(part, None, None, weight, bias, 0.0, self.eps) for part in split(x, groups)]
            return parts[0] if groups == 1 else torch.cat(parts)
        assert mean is not None and var is not None and self.num_batches_tracked is not None
        guarded = guarded or self.guard
        if groups == 1 and by_batch and not guarded and self.momentum is not None and mean.dtype is x.dtype:
            self.num_batches_tracked.add_(1)
            return normalize_over_batch(x, mean, var, weight, bias, self.momentum, self.eps)
        means, variances = x.new_zeros(groups, x.shape[1]), x.new_zeros(groups, x.shape[1])
        parts = [
            normalize_over_batch(part, means[i], variances[i], weight, bias, 1.0, self.eps)
            for i, part in enumerate(split(x if by_batch else x.detach(), groups))
        ]
        y = (
            torch.cat(parts)
            if by_batch
            else F.batch_norm(x, _as(mean, x).clone(), _as(var, x).clone(), weight, bias, False, 0.0, self.eps)
        )
        move_towards({mean: means.mean(0), var: variances.mean(0)}, self.num_batches_tracked, self.momentum, guarded)
        return y

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}, track_running_stats={self.track_running_stats}"


def _as(buffer: Tensor | None, x: Tensor) -> Tensor:
    assert buffer is not None
    return buffer if buffer.dtype is x.dtype else buffer.to(x.dtype)
