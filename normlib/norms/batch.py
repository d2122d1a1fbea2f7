"""Batch normalization."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from normlib.norms import register
from normlib.norms.kernels.batch_norm import normalize_by, normalize_over_batch, normalize_readable_batch
from normlib.norms.moments import MomentsNorm, merge_moments, unbiased
from normlib.norms.running import Statistics, per_channel


@register(
    "batch",
    statistics_over="samples and positions, per channel",
    axes=("samples", "positions"),
    paper="arXiv:1502.03167",
)
class BatchNorm(MomentsNorm, _BatchNorm):
    r"""Standardizes each channel over all samples and positions of the batch. At inference, running averages serve.

    .. math:: y = \gamma \frac{x - \mathrm{E}[x]}{\sqrt{\mathrm{Var}[x] + \epsilon}} + \beta

    Axes: N and positions, per channel. The biased variance normalizes; the running variance keeps the unbiased one.
    `momentum` is the weight of the new value in the running averages, as in torch.nn. The papers and Keras give the
    weight of the old one: their 0.99 is 0.01 here. `momentum=None` averages all batches alike.

    Shapes: (N, C, *positions) to the same, with any number of positions or none. With ``channel_dim=-1``
    (N, *positions, C).

    Paper: Ioffe, Szegedy 2015, "Batch Normalization", arXiv:1502.03167, algorithm 1; running averages as in torch.nn.

    Deviations: With `norm_batch_size` B set, training uses ghost batches (arXiv:1705.08741). Their statistics are those
    of floor(N / B) consecutive groups of samples. The groups are as equal as possible, so none is smaller than B unless
    N is. The running averages take the mean over the groups, of their means and of their unbiased variances. At
    inference there are no groups. With a mask, the running averages take what the valid values give, and groups without
    any do not count. With `sync`, the statistics in training are those of one batch of all processes in
    torch.distributed's default group. The shares of the processes may differ in size and may be empty. Each process has
    to pass the norm equally often, forward and backward. Second derivatives are left out. The gradients of `weight` and
    `bias` are those of a process's own share. Their sum is that of the one batch. DistributedDataParallel divides it by
    the number of processes, as for every parameter. Under float16 or autocast, and always with `guard`, a batch that is
    not finite does not enter the running averages. `torch.nn.SyncBatchNorm.convert_sync_batchnorm` replaces this layer
    by torch's own, which has no mask, `guard`, `channel_dim`, `norm_batch_size` or switches. Set `sync` instead.

    When: In convolutional networks with batches of 16 samples and more. It is the baseline, and free at inference,
    where it folds into the layer ahead.

    When not: At small batches, for sequences of varying length, where samples of a batch resemble one another, or where
    the data of inference differ from those of training.
    """

    takes_half: ClassVar[bool] = True
    needs: ClassVar[str] = "batches with at least two values a channel"
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
        bias: bool = True,
        guard: bool = False,
        sync: bool = False,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            num_features, {"mean": 0.0, "var": 1.0}, momentum=momentum, track_running_stats=track_running_stats, guard=guard,
            sync=sync, eps=eps, affine=affine, bias=bias, channel_dim=channel_dim, device=device, dtype=dtype,
        )  # fmt: skip

    def normalize(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:  # type: ignore[override]
        return (x - per_channel(mean, x)) * (per_channel(var, x) + self.eps).rsqrt()

    def averaged(self, statistics: Statistics, count: Any) -> Statistics:
        return {"mean": statistics["mean"], "var": unbiased(statistics["var"], count)}

    def combine(self, one: Statistics, other: Statistics, share: float) -> Statistics:
        mean, var = merge_moments(one["mean"], one["var"], other["mean"], other["var"], share)
        return {"mean": mean, "var": var}

    def normalize_by_running(self, x: Tensor, running: Statistics) -> Tensor:
        return normalize_by(running["mean"], running["var"], x, *self.parameters_as(x), self.eps)

    def measure_and_normalize(self, x: Tensor, running: Statistics) -> tuple[Tensor, Statistics]:
        weight, bias = self.parameters_as(x)
        if not self._moves():
            return normalize_over_batch(x, None, None, weight, bias, 0.0, self.eps), {}
        # With a momentum of one, the kernel leaves the batch's statistics in its running statistics.
        mean, var = (torch.zeros_like(value) for value in running.values())
        y = normalize_over_batch(x, mean, var, weight, bias, 1.0, self.eps)
        count = x.numel() // x.shape[1]
        return y, {"mean": mean, "var": var * ((count - 1) / count)}

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None and self._is_simple(x):
            mean, var, batches = self._buffers["running_mean"], self._buffers["running_var"], self.num_batches_tracked
            weight, bias, momentum = self._parameters["weight"], self._parameters["bias"], self.momentum
            assert mean is not None and var is not None
            if not self.training:
                return normalize_by(mean, var, x, weight, bias, self.eps)
            assert momentum is not None
            batches.add_(1)
            return normalize_readable_batch(x, mean, var, weight, bias, momentum, self.eps)
        return super().forward(x, mask)
