"""Global response normalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.kernels.global_response import strengthen_by_response


@register(
    "grn",
    statistics_over="positions, per sample and channel; then divided by their mean over channels",
    axes=("positions", "channels"),
    paper="arXiv:2301.00808",
)
class GlobalResponseNorm(Norm):
    r"""Strengthens the channels whose response over all positions is above the channels' average, beside a shortcut
    (GRN).

    .. math:: y = \gamma\, x \frac{G}{\mathrm{E}_C[G] + \epsilon} + \beta + x, \quad G = \lVert x \rVert_2 \text{ over positions}

    Axes: Positions, per sample and channel, for G; C for its mean. Scale and shift start at zero, so the layer starts
    as the identity.

    Shapes: (N, C, *positions) to the same, with any number of positions or none, and at least two channels. With
    ``channel_dim=-1`` (N, *positions, C).

    Paper: Woo et al. 2023, "ConvNeXt V2", arXiv:2301.00808, equations 1 to 3 and algorithm 1.

    Deviations: Epsilon is 1e-5, as for every norm here; the authors' code (facebookresearch/ConvNeXt-V2) has 1e-6.
    There the layer stands behind the activation, inside a block that has a layer norm too.

    When: To keep channels from collapsing to the same response, beside a norm that keeps the scale.

    When not: As the only norm of a deep network: an input twice as large comes out twice as large.
    """

    starts_at: Mapping[str, float] = {"weight": 0.0, "bias": 0.0}
    invariances: ClassVar[frozenset[str]] = frozenset({"batch_permutation", "channel_permutation"})

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, channel_dim=channel_dim, device=device, dtype=dtype)
        nn.init.zeros_(self.weight)

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.require_several_values(
            x.shape[1],
            x,
            "the channels' responses",
            "give it more channels",
            outcome="it would always equal its own average",
        )
        weight, bias = self.parameters_as(x)
        assert weight is not None and bias is not None
        return strengthen_by_response(x, weight, bias, self.eps)
