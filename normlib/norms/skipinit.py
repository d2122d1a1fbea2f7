"""SkipInit: a multiplier at the end of each residual branch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.place import Place


@register("skipinit", statistics_over="nothing", paper="arXiv:2002.10444")
class SkipInit(Norm):
    r"""Multiplies the end of each residual branch by a trained number that starts at zero. Elsewhere it passes its
    input through.

    .. math:: y = \alpha x

    Axes: None.

    Shapes: (N, C, *positions) to the same. With ``channel_dim=-1`` (N, *positions, C).

    Paper: De, Smith 2020, "Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep Networks",
    arXiv:2002.10444, section 4. `start` is its alpha at the start: zero, or at most one over the root of the number of
    branches.

    Deviations: The shift of a site stands behind the multiplier. In the paper, the biases of the last layer are
    multiplied too. The stem keeps its start. Nothing but the multiplier is added.

    When: To train a deep residual network without any norm, at the cost of one number a branch.

    When not: Without residual branches, where there is nothing to multiply. Nor at the highest learning rates, where
    norms still train.

    Settings:
        start: where the multiplier of each branch starts; it is trained
    """

    slot = "branch"
    needs = "a network with residual branches"
    parameter_count = "1"
    starts_at = {"alpha": 0.0}

    def __init__(
        self,
        num_features: int,
        start: float = 0.0,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, affine=False, channel_dim=channel_dim, device=device, dtype=dtype)
        self.alpha: nn.Parameter | None = nn.Parameter(torch.full((1,), start, device=device, dtype=dtype))
        self.starts_at = {"alpha": start}

    def enter(self, place: Place) -> None:
        if place.branch is None or not place.branch.is_last:
            self.alpha = None

    def normalize(self, x: Tensor) -> Tensor:
        return x if self.alpha is None else x * self.alpha

    def extra_repr(self) -> str:
        return f"{self.num_features}" + ("" if self.alpha is not None else ", hands its input on")
