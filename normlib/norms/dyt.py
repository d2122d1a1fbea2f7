"""Dynamic tanh: no statistics, but a bounded response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.kernels.tanh import tanh_of


@register("dyt", statistics_over="nothing", axes=(), paper="arXiv:2503.10622")
class DynamicTanh(Norm):
    r"""Squashes every value by a tanh with a learned slope, in place of a normalization (DyT).

    .. math:: y = \gamma \tanh(a x) + \beta

    Axes: None. The slope a is one number for all channels, and starts at `alpha`.

    Shapes: (N, C, *positions) to the same, with any number of positions or none. With ``channel_dim=-1``
    (N, *positions, C).

    Paper: Zhu, Chen, He, LeCun, Liu 2025, "Transformers without Normalization", arXiv:2503.10622, section 4 and
    algorithm 1.

    Deviations: None. The paper starts at 0.5, and in large language models at values that depend on width and place.

    When: In transformers, in place of layer or RMS norm, where no value may depend on another one. It is not always
    faster: see `normlib bench norm=dyt,layer`.

    When not: In place of batch norm in convolutional networks: its authors report that it does worse there. Nor where
    inputs are large from the start: a saturated tanh passes no gradient.

    Settings:
        alpha: where the slope starts; it is trained
    """

    parameter_count: ClassVar[str] = "2C+1"
    starts_at: Mapping[str, float] = {"weight": 1.0, "bias": 0.0, "alpha": 0.5}
    invariances: ClassVar[frozenset[str]] = frozenset({"batch_permutation", "channel_permutation"})

    def __init__(
        self,
        num_features: int,
        alpha: float = 0.5,
        affine: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, affine=affine, channel_dim=channel_dim, device=device, dtype=dtype)
        self.alpha = nn.Parameter(torch.full((1,), alpha, device=device, dtype=dtype))
        self.starts_at = {**self.starts_at, "alpha": alpha}

    def normalize(self, x: Tensor) -> Tensor:
        return tanh_of(x, self.alpha.to(x.dtype))

    def extra_repr(self) -> str:
        return f"{self.num_features}, affine={self.affine}"
