"""Batch normalization."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from normlib.norms import register
from normlib.norms._parts import require_batch, split, transform_parts
from normlib.norms._running import move_towards, unbiased
from normlib.norms.base import Norm
from normlib.norms.kernels.batch_norm import normalize_by, normalize_over_batch
from normlib.norms.kernels.inspection import statistics_dtype
from normlib.norms.kernels.masked import Standardized
from normlib.norms.kernels.synchronized import joins_other_processes


@register(
    "batch",
    statistics_over="samples and positions, per channel",
    axes=("samples", "positions"),
    paper="arXiv:1502.03167",
)
class BatchNorm(Norm, _BatchNorm):
    """Standardizes each channel over all samples and positions of the batch; at inference with running averages.

    .. math:: y = \\gamma \\frac{x - \\mathrm{E}[x]}{\\sqrt{\\mathrm{Var}[x] + \\epsilon}} + \\beta

    Axes: N and positions, per channel. The biased variance normalizes; the running variance keeps the unbiased one.
    `momentum` is the weight of the new value in the running averages, as in torch.nn (the papers and Keras give the
    weight of the old one: their 0.99 is 0.01 here); None averages all batches alike.

    Shapes: (N, C, *positions) to the same, any number of positions, none too; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Ioffe, Szegedy 2015, "Batch Normalization", arXiv:1502.03167, algorithm 1; running averages as in torch.nn.

    Deviations: with `norm_batch_size` B set, statistics in training are those of floor(N / B) consecutive groups of samples, as
    equal as possible, so that none is smaller than B unless N is (ghost batches, arXiv:1705.08741); the running averages take the
    mean over the groups, of their means and of their unbiased variances; at inference there are no groups. With a mask they
    take what the valid values give, and groups without any do not count. With `sync` the statistics in training are those of one
    batch of all processes of torch.distributed's default group, whose shares may differ in size and be empty; each has to pass
    the norm equally often, forward and backward, and second derivatives are left out. The gradients of `weight` and `bias` are
    those of a process's own share: their sum is that of the one batch, and DistributedDataParallel divides it by the number of
    processes, as for every parameter. Under float16 or autocast (with `guard`, always) a batch that is not finite does not enter
    the running averages.
    `torch.nn.SyncBatchNorm.convert_sync_batchnorm` puts torch's own layer in the place of this one, without its mask, `guard`,
    `channel_dim`, `norm_batch_size` and switches: set `sync` instead.

    When: in convolutional networks with batches of 16 samples and more: the baseline, and free at inference, where it folds into
    the layer ahead.

    When not: at small batches, for sequences of varying length, where samples of a batch resemble one another, or where the data
    of inference differ from those of training.
    """

    depends_on_batch: ClassVar[bool] = True
    takes_half: ClassVar[bool] = True
    takes_mask: ClassVar[bool] = True
    needs: ClassVar[str] = "batches with two values a channel or more"
    buffer_count: ClassVar[str] = "2C+1"
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "input_shift", "channel_scale", "channel_shift", "batch_permutation", "channel_permutation"}
    )

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        guard: bool = False,
        sync: bool = False,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _BatchNorm.__init__(self, num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype)
        self.guard, self.sync = guard, sync
        self._set_switches(channel_dim)

    @property
    def takes_part_when_empty(self) -> bool:
        return joins_other_processes(self)

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        if self.sync and joins_other_processes(self):
            return transform_parts(self, x.to(statistics_dtype(x)), None, guarded)
        by_batch, moves = self.uses_batch_statistics, self.moves_running_statistics
        if not by_batch and not moves:
            return self.by_running_statistics(x, moves)
        weight, bias = self.parameters_as(x)
        mean, var = self.running_mean, self.running_var
        groups = self.num_groups_of_samples(x.shape[0])
        require_batch(self, x, groups)
        if not moves:
            parts = [normalize_over_batch(part, None, None, weight, bias, 0.0, self.eps) for part in split(x, groups)]
            return parts[0] if groups == 1 else torch.cat(parts)
        assert mean is not None and var is not None and self.num_batches_tracked is not None
        guarded = guarded or self.guard
        if groups == 1 and by_batch and not guarded and self.momentum is not None and mean.dtype is statistics_dtype(x):
            self.num_batches_tracked.add_(1)
            return normalize_over_batch(x, mean, var, weight, bias, self.momentum, self.eps)
        means, variances = (x.new_zeros(groups, x.shape[1], dtype=statistics_dtype(x)) for _ in range(2))
        parts = [
            normalize_over_batch(part, means[i], variances[i], weight, bias, 1.0, self.eps)
            for i, part in enumerate(split(x if by_batch else x.detach(), groups))
        ]
        y = torch.cat(parts) if by_batch else self.by_running_statistics(x, moves)
        move_towards({mean: means.mean(0), var: variances.mean(0)}, self.num_batches_tracked, self.momentum, guarded)
        return y

    def transform_masked(self, x: Tensor, mask: Tensor, guarded: bool) -> Tensor:
        return transform_parts(self, x, mask, guarded)

    def corrected(self, part: Standardized) -> Tensor:
        return part.x_hat

    def running_values(self, mean: Tensor, var: Tensor, counts: Tensor) -> dict[Any, Tensor]:
        return {self.running_mean: mean, self.running_var: unbiased(var, counts)}

    def by_running_statistics(self, x: Tensor, moves: bool) -> Tensor:
        weight, bias = self.parameters_as(x)
        mean, var = _as(self.running_mean, x), _as(self.running_var, x)
        if moves:  # after this, so the backward pass needs its own
            mean, var = mean.clone(), var.clone()
        return normalize_by(mean, var, x, weight, bias, self.eps)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}, track_running_stats={self.track_running_stats}"


def _as(buffer: Tensor | None, x: Tensor) -> Tensor:
    assert buffer is not None
    return buffer.to(statistics_dtype(x))
