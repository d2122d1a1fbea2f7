"""EvoNorm B0: divides by the batch's deviation or by a linear term of the sample's, whichever is larger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.kernels.evonorm_b0 import divide_by_larger
from normlib.norms.kernels.sample_moments import moments_over_groups
from normlib.norms.moments import merge_moments, unbiased
from normlib.norms.running import RunningNorm, Statistics, per_channel


@register(
    "evonorm_b0",
    statistics_over="samples and positions, per channel, and positions, per sample and channel",
    axes=("samples", "positions"),
    paper="arXiv:2004.02967",
)
class EvoNormB0(RunningNorm):
    r"""Divides by the batch's deviation, or by a line through the sample's where that is larger. It is norm and
    activation in one.

    .. math:: y = \gamma \frac{x}{\max\big(\sqrt{\mathrm{Var}_{N,P}[x] + \epsilon},\; v x + \sqrt{\mathrm{Var}_P[x] + \epsilon}\big)} + \beta

    Axes: N and positions (P), per channel, for the first variance; at inference its running average divides. Positions,
    per sample and channel, for the second. `v` is one number a channel, from 1. `momentum` is the weight of the new
    value.

    Shapes: (N, C, *positions) to the same, with at least two positions. With ``channel_dim=-1`` (N, *positions, C).

    Paper: Liu, Brock, Simonyan, Le 2020, "Evolving Normalization-Activation Layers", arXiv:2004.02967, its layer
    EvoNorm-B0.

    Deviations: The running average is that of the unbiased variance, as in batch norm here. The authors' code
    (tensorflow/tpu) keeps the biased one. With `norm_batch_size` set, the batch's variance is that of groups of
    samples. Under float16 or autocast, and always with `guard`, a batch that is not finite does not enter the running
    average. ``activate=False``, for a place without an activation, scales and shifts alone, without statistics. The
    authors' code does the same (``nonlinearity=False``).

    When: In convolutional networks with large batches, in place of batch norm and its ReLU together.

    When not: At small batches, where S0 holds; without positions; where the activation itself is compared.
    """

    slot: ClassVar[Literal["norm", "site", "weight", "branch"]] = "site"
    takes_mask: ClassVar[bool] = False
    needs: ClassVar[str] = "at least two positions"
    parameter_count: ClassVar[str] = "3C"
    buffer_count: ClassVar[str] = "C+1"
    starts_at: Mapping[str, float] = {"weight": 1.0, "bias": 0.0, "v": 1.0}
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "channel_scale", "batch_permutation", "channel_permutation"}
    )
    v: nn.Parameter | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        guard: bool = False,
        activate: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            num_features, {"var": 1.0}, momentum=momentum, track_running_stats=activate, guard=guard, eps=eps, affine=affine,
            channel_dim=channel_dim, device=device, dtype=dtype,
        )  # fmt: skip
        self.activate = activate
        v = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype)) if activate else None
        self.register_parameter("v", v)

    def measure(self, x: Tensor) -> Statistics:
        return self._merge_samples(*moments_over_groups(x, x.shape[1]))

    def normalize(self, x: Tensor, var: Tensor, mean: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return self._divided(x, var, moments_over_groups(x, x.shape[1])[1])

    def measure_and_normalize(self, x: Tensor, running: Statistics) -> tuple[Tensor, Statistics]:
        if self.v is None:
            return self.scale_and_shift(x), {}
        mean, var = moments_over_groups(x, x.shape[1])  # of each sample: (N, C, 1, ...)
        statistics = self._merge_samples(mean, var)
        return self.scale_and_shift(self._divided(x, statistics["var"], var)), statistics

    def averaged(self, statistics: Statistics, count: Any) -> Statistics:
        return {"var": unbiased(statistics["var"], count)}

    def combine(self, one: Statistics, other: Statistics, share: float) -> Statistics:
        if "mean" not in one:  # the running statistics have none
            return super().combine(one, other, share)
        mean, var = merge_moments(one["mean"], one["var"], other["mean"], other["var"], share)
        return {"mean": mean, "var": var}

    def _merge_samples(self, mean: Tensor, var: Tensor) -> Statistics:
        """The batch's statistics, from those of the samples.

        All samples have equally many positions. So the mean of variances and the variance of means add up.
        """
        over_batch = mean.mean(0)
        between = (mean - over_batch).square().mean(0)  # Tensor.var takes ten times as long on a CPU
        return {"mean": over_batch.flatten(), "var": (var.mean(0) + between).flatten()}

    def _divided(self, x: Tensor, var: Tensor, own: Tensor) -> Tensor:
        """`x` over the larger of the batch's deviation and the line through the sample's.

        `own` (N, C, 1, ...) is the sample's variance.
        """
        self.require_several_values(
            x.numel() // (x.shape[0] * x.shape[1]),
            x,
            "the positions of a sample's channel, beside those of the batch",
            "give it an input with positions, or use another norm",
            outcome="the deviation would always be zero",
        )
        assert self.v is not None
        deviation, own = (per_channel(var, x) + self.eps).sqrt(), (own + self.eps).sqrt()
        return divide_by_larger(x, per_channel(self.v.to(x.dtype), x), own, deviation)

    def _require_batch(self, x: Tensor, groups: int) -> None:
        """Refuses nothing: two positions are enough, and `normalize` asks for them."""
