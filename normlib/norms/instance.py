"""Instance normalization."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms._running import mean_of_measured, move_towards, unbiased
from normlib.norms.base import Norm
from normlib.norms.kernels.batch_norm import normalize_by
from normlib.norms.kernels.group_norm import normalize_groups
from normlib.norms.kernels.inspection import statistics_dtype
from normlib.norms.kernels.masked import standardize_groups


@register(
    "instance", statistics_over="positions, per sample and channel", axes=("positions",), paper="arXiv:1607.08022"
)
class InstanceNorm(Norm):
    """Standardizes each channel of each sample over its positions.

    .. math:: y = \\gamma \\frac{x - \\mathrm{E}[x]}{\\sqrt{\\mathrm{Var}[x] + \\epsilon}} + \\beta

    Axes: positions, per sample and channel.

    Shapes: (N, C, *positions) to the same, at least two positions; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Ulyanov, Vedaldi, Lempitsky 2016, "Instance Normalization", arXiv:1607.08022, equation 4.

    Deviations: scale and shift by default, like every norm here; torch.nn has none by default. With `track_running_stats`
    running averages (over the samples, too) of mean and unbiased variance normalize at inference, as in torch.nn;
    `momentum` is the weight of the new value, None averages all batches alike.

    When: where contrast and style of a single image are to go, as in style transfer and image generation.

    When not: where the strength of a response carries the class, or where images have few positions: none is left at one position.
    """

    takes_half: ClassVar[bool] = True
    takes_mask: ClassVar[bool] = True
    needs: ClassVar[str] = "two positions or more"
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
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = False,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=affine, channel_dim=channel_dim, device=device, dtype=dtype)
        self.momentum, self.track_running_stats = momentum, track_running_stats
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", torch.ones(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device) if tracked else None)

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        by_sample, moves = self.uses_batch_statistics, self.moves_running_statistics
        if by_sample or moves:
            self._require_several_positions(x)
        if by_sample:
            y = normalize_groups(x, self.num_features, *self.parameters_as(x), self.eps)
        else:
            y = self._by_running_statistics(x)
        if moves:
            var, mean = torch.var_mean(x.detach().flatten(2).to(statistics_dtype(x)), dim=2)  # (N, C) each
            new = {self.running_mean: mean.mean(0), self.running_var: var.mean(0)}
            move_towards(new, self.num_batches_tracked, self.momentum, guarded)
        return y

    def transform_masked(self, x: Tensor, mask: Tensor, guarded: bool) -> Tensor:
        by_sample, moves = self.uses_batch_statistics, self.moves_running_statistics
        if not by_sample and not moves:
            return self._by_running_statistics(x)
        self._require_several_positions(x)
        found = standardize_groups(self._name, x if by_sample else x.detach(), mask, self.num_features, self.eps)
        y = self.scale_and_shift(found.x_hat) if by_sample else self._by_running_statistics(x)
        if moves:
            counts, mean, var = (statistic.detach().flatten(1) for statistic in found[1:])  # (N, 1), (N, C), (N, C)
            new = {
                self.running_mean: mean_of_measured(mean, counts),
                self.running_var: mean_of_measured(unbiased(var, counts), counts),
            }
            move_towards(new, self.num_batches_tracked, self.momentum, guarded, (counts > 1).any())
        return y

    def _by_running_statistics(self, x: Tensor) -> Tensor:
        weight, bias = self.parameters_as(x)
        mean, var = (buffer.to(statistics_dtype(x), copy=True) for buffer in (self.running_mean, self.running_var))
        return normalize_by(mean, var, x, weight, bias, self.eps)

    def _require_several_positions(self, x: Tensor) -> None:
        self.require_several_values(
            x.numel() // (x.shape[0] * x.shape[1]),
            x,
            "the positions of a sample's channel",
            "give it an input with positions, or use another norm",
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, track_running_stats={self.track_running_stats}"
