"""Local response normalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from normlib.norms import register
from normlib.norms.base import Norm


@register(
    "lrn",
    statistics_over="neighbouring channels, per sample and position, without the mean",
    axes=("neighbours",),
    paper="doi:10.1145/3065386",
)
class LocalResponseNorm(Norm):
    r"""Divides each channel by a power of the squares of its neighbours at the same position (LRN).

    .. math:: y_c = x_c \Big/ \Big(k + \alpha \sum_{j=\max(0, c-n/2)}^{\min(C-1, c+n/2)} x_j^2\Big)^\beta

    Axes: The `n` channels around each channel, per sample and position. That is n / 2, rounded down, on either side,
    and fewer at the ends.

    Shapes: (N, C, *positions) to the same, with any number of positions or none, and at least two channels. With
    ``channel_dim=-1`` (N, *positions, C).

    Paper: Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks",
    section 3.3.

    Deviations: None. torch.nn.LocalResponseNorm divides alpha by n first and has k = 1. Ours with `n`, `alpha` and `k`
    is torch's with size n, alpha * n and k. Nothing is trained. The site adds a shift, so that no arm is without one.

    When: To rebuild AlexNet and networks of its time.

    When not: To make training easier. With the paper's alpha, it changes responses of order one by hardly more than a
    constant factor.

    Settings:
        n: neighbouring channels whose squares are summed, itself included; odd
        alpha: factor on the sum of squares
        beta: the power that is divided by
        k: what is added to the sum
    """

    parameter_count: ClassVar[str] = "0"
    starts_at: Mapping[str, float] = {}
    invariances: ClassVar[frozenset[str]] = frozenset({"batch_permutation"})

    def __init__(
        self,
        num_features: int,
        n: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 2.0,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, affine=False, channel_dim=channel_dim, device=device, dtype=dtype)
        if n < 3 or n % 2 == 0:
            raise ValueError(
                f"n counts a channel and as many neighbours on either side, so it has to be odd and at least 3, got n={n}"
            )
        if k <= 0 or alpha < 0:
            raise ValueError(
                f"the divisor has to be positive for any input, so k > 0 and alpha >= 0, got k={k} and alpha={alpha}"
            )
        self.n, self.alpha, self.beta, self.k = n, alpha, beta, k

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.require_several_values(
            x.shape[1], x, "neighbouring channels", "give it more channels", outcome="it has no neighbours"
        )
        width, aside = x.shape[1], self.n // 2
        squares = F.pad(x.square(), (0, 0) * (x.dim() - 2) + (aside, aside))  # (N, C + n - 1, *positions)
        total = squares[:, :width]
        for first in range(1, self.n):
            total = total + squares[:, first : first + width]
        return x * (self.k + self.alpha * total).pow(-self.beta)

    def extra_repr(self) -> str:
        return f"{self.num_features}, n={self.n}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"
