"""Batch normalization by the mean absolute deviation: a norm with running statistics, in a package of its own."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from normlib import RunningNorm, register
from normlib.norms.running import mean_over_batch, per_channel

# The standard deviation of a normal distribution in mean absolute deviations (Hoffer et al. 2018, section 4.1).
DEVIATIONS = math.sqrt(math.pi / 2)


@register(
    "l1_batch",
    statistics_over="samples and positions, per channel",
    axes=("samples", "positions"),
    paper="arXiv:1803.01814",
)
class L1BatchNorm(RunningNorm):
    """Batch norm that divides by the mean absolute deviation, scaled to the standard deviation of a normal distribution.

    .. math:: y = \\gamma \\frac{x - \\mathrm{E}[x]}{\\sqrt{\\pi/2}\\,\\mathrm{E}|x - \\mathrm{E}[x]| + \\epsilon} + \\beta

    Axes: N and positions, per channel; at inference with running averages of both statistics.

    Shapes: (N, C, *positions) to the same, any number of positions, none too; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Hoffer, Banner, Golan, Soudry 2018, "Norm matters", arXiv:1803.01814, section 4.1.

    Deviations: the running averages move by `momentum`, the weight of the new value, as in torch.nn.

    When: arithmetic without squares and roots, as on low-precision hardware.

    When not: batches of a few samples, as with batch norm.
    """

    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "input_shift", "channel_scale", "channel_shift", "batch_permutation", "channel_permutation"}
    )

    def __init__(
        self,
        num_features: int,
        momentum: float = 0.1,
        eps: float = 1e-5,
        affine: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            num_features,
            {"mean": 0.0, "deviation": 1.0},
            momentum=momentum,
            eps=eps,
            affine=affine,
            channel_dim=channel_dim,
            device=device,
            dtype=dtype,
        )

    def measure(self, x: Tensor) -> dict[str, Tensor]:
        mean = mean_over_batch(x)  # (C,)
        return {"mean": mean, "deviation": DEVIATIONS * mean_over_batch((x - per_channel(mean, x)).abs())}

    def normalize(self, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:  # type: ignore[override]
        return (x - per_channel(mean, x)) / (per_channel(deviation, x) + self.eps)
