"""Instance normalization."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms.kernels.batch_norm import normalize_by
from normlib.norms.kernels.group_norm import normalize_groups
from normlib.norms.kernels.inspection import statistics_dtype
from normlib.norms.kernels.masked import masked_moments_of_samples
from normlib.norms.moments import merge_moments, unbiased
from normlib.norms.running import RunningNorm, Statistics


@register(
    "instance", statistics_over="positions, per sample and channel", axes=("positions",), paper="arXiv:1607.08022"
)
class InstanceNorm(RunningNorm):
    r"""Standardizes each channel of each sample over its positions.

    .. math:: y = \gamma \frac{x - \mathrm{E}[x]}{\sqrt{\mathrm{Var}[x] + \epsilon}} + \beta

    Axes: Positions, per sample and channel.

    Shapes: (N, C, *positions) to the same, with at least two positions. With ``channel_dim=-1`` (N, *positions, C).

    Paper: Ulyanov, Vedaldi, Lempitsky 2016, "Instance Normalization", arXiv:1607.08022, equation 4.

    Deviations: Scale and shift by default, like every norm here; torch.nn has none by default. With
    `track_running_stats`, running averages normalize at inference, as in torch.nn. They are averages of the mean and
    the unbiased variance, over the samples too. `momentum` is the weight of the new value; `momentum=None` averages all
    batches alike.

    When: Where the contrast and style of a single image should be removed, as in style transfer and image generation.

    When not: Where the strength of a response carries the class, or where images have few positions. With one position,
    no statistic is possible.
    """

    depends_on_batch: ClassVar[bool] = False
    takes_half: ClassVar[bool] = True
    averages_batches: ClassVar[bool] = True
    over_valid: ClassVar[str] = "the valid positions of a sample's channel"
    buffer_count: ClassVar[str] = "0"
    needs: ClassVar[str] = "at least two positions"
    invariances: ClassVar[frozenset[str]] = frozenset(
        {
            "input_scale",
            "input_shift",
            "channel_scale",
            "channel_shift",
            "sample_scale",
            "sample_shift",
            "batch_permutation",
            "channel_permutation",
        }
    )

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = False,
        bias: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            num_features, {"mean": 0.0, "var": 1.0}, momentum=momentum, track_running_stats=track_running_stats, eps=eps,
            affine=affine, bias=bias, channel_dim=channel_dim, device=device, dtype=dtype,
        )  # fmt: skip

    def measure(self, x: Tensor) -> Statistics:
        """Mean and biased variance of each channel of each sample, (N, C)."""
        positions = x.unsqueeze(2) if x.dim() == 2 else x.flatten(2)
        var, mean = torch.var_mean(positions.to(statistics_dtype(x)), 2, correction=0)
        return {"mean": mean, "var": var}

    def measure_part(self, x: Tensor, mask: Tensor | None, across_processes: bool = False) -> tuple[Statistics, Any]:
        """The statistics of each sample (N, C), and how many values each is taken over (N,)."""
        if mask is None:
            return self.measure(x), torch.full((x.shape[0],), self.num_values(x), device=x.device)
        mean, var, counts = masked_moments_of_samples(x, mask)
        return {"mean": mean, "var": var}, counts

    def normalize(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:  # type: ignore[override]
        mean, rstd = (each.view(*each.shape, *(1,) * (x.dim() - 2)) for each in (mean, (var + self.eps).rsqrt()))
        return (x - mean) * rstd

    def averaged(self, statistics: Statistics, count: int | Tensor) -> Statistics:
        """The mean over the samples of means and of unbiased variances, (C,) each.

        With counts (N,), only samples of two values or more take part.
        """
        if not isinstance(count, Tensor) or count.dim() == 0:  # a traced number is a tensor
            return {"mean": statistics["mean"].mean(0), "var": unbiased(statistics["var"], count).mean(0)}
        counts = count.unsqueeze(1)
        taken = {"mean": statistics["mean"], "var": unbiased(statistics["var"], counts)}
        number = (counts > 1).sum().clamp(min=1)
        return {name: torch.where(counts > 1, value, 0).sum(0) / number for name, value in taken.items()}

    def combine(self, one: Statistics, other: Statistics, share: float) -> Statistics:
        mean, var = merge_moments(one["mean"], one["var"], other["mean"], other["var"], share)
        return {"mean": mean, "var": var}

    def normalize_by_running(self, x: Tensor, running: Statistics) -> Tensor:
        if running["mean"].dim() > 1:  # as those of samples are mixed in
            return super().normalize_by_running(x.to(running["mean"].dtype), running)
        return normalize_by(running["mean"], running["var"], x, *self.parameters_as(x), self.eps)

    def measure_and_normalize(self, x: Tensor, running: Statistics) -> tuple[Tensor, Statistics]:
        y = normalize_groups(x, self.num_features, *self.parameters_as(x), self.eps)
        return y, self.measure(x.detach()) if self._moves() else {}

    def num_values(self, x: Tensor) -> int:
        return x.numel() // (x.shape[0] * x.shape[1]) if x.shape[0] else 0

    def _require_batch(self, x: Tensor, groups: int) -> None:
        self.require_several_values(
            self.num_values(x),
            x,
            "the positions of a sample's channel",
            "give it an input with positions, or use another norm",
        )
