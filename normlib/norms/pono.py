"""Positional normalization."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.kernels.layer_norm import normalize_positions


@register(
    "pono",
    statistics_over="channels, per sample and position",
    axes=("channels",),
    paper="arXiv:1907.04312",
)
class PositionalNorm(Norm):
    r"""Standardizes each position of each sample over its channels (PONO).

    .. math:: y = \gamma \frac{x - \mathrm{E}[x]}{\sqrt{\mathrm{Var}[x] + \epsilon}} + \beta

    Axes: C, per sample and position. `variance` is "biased", as in the paper, or "unbiased", as in its authors' code.

    Shapes: (N, C, *positions) to the same, with any number of positions or none, and at least two channels. With
    ``channel_dim=-1`` (N, *positions, C).

    Paper: Li, Wu, Weinberger, Belongie 2019, "Positional Normalization", arXiv:1907.04312, equation 2.

    Deviations: The paper divides by the number of channels, its authors' code (Boyiliee/Positional-Normalization) by
    one less. The default is the paper's, and is the same as layer norm with ``scope="position"``. Scale and shift are
    per channel, as for every norm here. The paper's come from the moment shortcut, which joins two places of a network
    and is no part of this layer.

    When: Where the statistics should keep where in an image something is, as in generative networks.

    When not: With few channels. Each statistic has only those values, and two channels always come out as plus and
    minus one.

    Settings:
        variance: divided by the number of channels (biased, the paper) or by one less (unbiased, its code)
    """

    takes_half: ClassVar[bool] = True
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "input_shift", "sample_scale", "sample_shift", "batch_permutation", "channel_permutation"}
    )

    def __init__(
        self,
        num_features: int,
        variance: Literal["biased", "unbiased"] = "biased",
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            num_features, eps=eps, affine=affine, bias=bias, channel_dim=channel_dim, device=device, dtype=dtype
        )
        if variance not in ("biased", "unbiased"):
            raise ValueError(
                f'variance is "biased" (divided by the number of channels, as in the paper) or "unbiased" (by one less, as in '
                f"its authors' code), got {variance!r}"
            )
        self.variance = variance

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.require_several_values(x.shape[1], x, "the channels of a position", "give it more channels")
        weight, bias = self.parameters_as(x)
        eps = self.eps
        if self.variance == "unbiased":
            # (x - m) / sqrt(v C/(C-1) + eps) = sqrt(s) (x - m) / sqrt(v + s eps) with s = (C-1)/C and v the biased variance
            share = (self.num_features - 1) / self.num_features
            weight = math.sqrt(share) * (x.new_ones(self.num_features) if weight is None else weight)
            eps = share * eps
        return normalize_positions(x, weight, bias, eps)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, variance={self.variance!r}"
