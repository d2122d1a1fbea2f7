"""No normalization at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms.base import Norm


@register("none", statistics_over="nothing", axes=())
class NoNorm(Norm):
    """Passes its input through. In a comparison, this arm shows what the others gain.

    .. math:: y = x

    Axes: None.

    Shapes: (N, C, *positions) to the same. With ``channel_dim=-1`` (N, *positions, C).

    Paper: none.

    Deviations: It has no parameters. A network that leaves out the bias ahead of its norms has to add one behind this
    one.

    When: As the control, and in networks that are shallow or that train without a norm.

    When not: In a deep plain network. Such a network does not train without a norm or a special initialization.
    """

    parameter_count: ClassVar[str] = "0"
    starts_at: Mapping[str, float] = {}
    invariances: ClassVar[frozenset[str]] = frozenset({"batch_permutation", "channel_permutation"})

    takes_mask: ClassVar[bool] = True

    def __init__(
        self,
        num_features: int,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, affine=False, channel_dim=channel_dim, device=device, dtype=dtype)

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x

    def _in_precision(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"{self.num_features}"
