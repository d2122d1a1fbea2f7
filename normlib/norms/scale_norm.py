"""Scale normalization: division by the Euclidean length, with one learned length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.kernels.unit_length import scale_to_length


@register(
    "scale_norm",
    statistics_over="channels, per sample and position, without the mean",
    axes=("channels",),
    paper="arXiv:1910.05895",
)
class ScaleNorm(Norm):
    r"""Gives the channels of each position the same Euclidean length, and learns that length.

    .. math:: y = g \frac{x}{\max(\lVert x \rVert_2, \epsilon)}, \quad g = \sqrt{C} \text{ at first}

    Axes: C, per sample and position. `weight` is the one number g, not one number a channel.

    Shapes: (N, C, *positions) to the same, with any number of positions or none, and at least two channels. With
    ``channel_dim=-1`` (N, *positions, C).

    Paper: Nguyen, Salazar 2019, "Transformers without Tears", arXiv:1910.05895, section 2.2.

    Deviations: The paper has no epsilon. As in its authors' code (tnq177/transformers_without_tears), a length below
    epsilon is taken as epsilon. There is no shift; in a network of normlib the site adds one, so that no arm is without
    one.

    When: In transformers, in place of layer norm, to have one number for all scales. Its authors' translations were as
    good.

    When not: Where channels need scales of their own. Nor where a position may be all zeros: its gradient there is
    divided by epsilon.

    Settings:
        eps: the least length that is divided by
        affine: whether the common length is trained
    """

    parameter_count: ClassVar[str] = "1"
    starts_at: Mapping[str, float] = {}
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "sample_scale", "batch_permutation", "channel_permutation"}
    )

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        affine: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=False, channel_dim=channel_dim, device=device, dtype=dtype)
        self.affine = affine
        if affine:
            self.weight = nn.Parameter(torch.full((1,), math.sqrt(num_features), device=device, dtype=dtype))
        self.starts_at = {"weight": math.sqrt(num_features)}  # no start for all widths

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.require_several_values(
            x.shape[1],
            x,
            "the channels of a position",
            "give it more channels",
            outcome="only its sign would come out",
        )
        weight, _ = self.parameters_as(x)
        length = x.new_full((1,), math.sqrt(self.num_features)) if weight is None else weight
        return scale_to_length(x, length, self.eps)
