"""Filter response normalization with its thresholded linear unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.kernels.root_mean_square import divide_by_rms

EPS_START = 1e-4  # the paper's start of the learned part of epsilon


@register(
    "frn",
    statistics_over="positions, per sample and channel, without the mean",
    axes=("positions",),
    paper="arXiv:1911.09737",
)
class FilterResponseNorm(Norm):
    r"""Divides each channel of each sample by its root mean square over positions. Then it takes the maximum with a
    learned threshold (FRN).

    .. math:: y = \max\Big(\gamma \frac{x}{\sqrt{\mathrm{E}[x^2] + \epsilon}} + \beta, \tau\Big)

    Axes: Positions, per sample and channel. The threshold `tau` (TLU) is one number a channel. It starts at zero, as a
    ReLU.

    Shapes: (N, C, *positions) to the same, with at least two positions. With ``channel_dim=-1`` (N, *positions, C).
    With `learn_eps`, inputs of one position or none pass too.

    Paper: Singh, Krishnan 2020, "Filter Response Normalization Layer", arXiv:1911.09737, equations 1 to 3. `learn_eps`
    is the paper's parametrized epsilon, for layers without positions.

    Deviations: Epsilon is 1e-5, as for every norm here; the paper has 1e-6. A single position is refused, because x /
    |x| is its sign. With `learn_eps` it is allowed: that adds the paper's |epsilon_l|, one trained number a layer,
    `learned_eps`, from 1e-4. Without positions, the layer still starts close to a sign. ``activate=False``, for a place
    without an activation, leaves out the threshold.

    When: In convolutional networks at small batches, in place of a norm and its ReLU together.

    When not: Where images have few positions, or another activation than a ReLU is wanted. The paper warms the learning
    rate up.

    Settings:
        learn_eps: whether a trained epsilon is added, for layers without positions
    """

    slot: ClassVar[Literal["norm", "site", "weight", "branch"]] = "site"
    needs: ClassVar[str] = "at least two positions, or learn_eps"
    parameter_count: ClassVar[str] = "3C"
    starts_at: Mapping[str, float] = {"weight": 1.0, "bias": 0.0, "tau": 0.0, "learned_eps": EPS_START}
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "channel_scale", "sample_scale", "batch_permutation", "channel_permutation"}
    )

    tau: nn.Parameter | None
    learned_eps: nn.Parameter | None

    def __init__(
        self,
        num_features: int,
        learn_eps: bool = False,
        eps: float = 1e-5,
        affine: bool = True,
        activate: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=affine, channel_dim=channel_dim, device=device, dtype=dtype)
        self.activate = activate
        self.register_parameter(
            "tau", nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype)) if activate else None
        )
        self.register_parameter(
            "learned_eps", nn.Parameter(torch.full((1,), EPS_START, device=device, dtype=dtype)) if learn_eps else None
        )

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.learned_eps is None:
            self.require_several_values(
                x.numel() // (x.shape[0] * x.shape[1]),
                x,
                "the positions of a sample's channel",
                "set learn_eps=True, as the paper does here, give it an input with positions, or use another norm",
                outcome="only its sign would come out",
            )
        elif x.dim() == 2:
            return self.transform(x.unsqueeze(2)).squeeze(2)
        eps = self.eps if self.learned_eps is None else self.eps + self.learned_eps.to(x.dtype).abs()
        positions = tuple(range(2, x.dim()))
        weight, bias = self.parameters_as(x)
        tau = None if self.tau is None else self.tau.to(x.dtype)
        return divide_by_rms(x, positions, weight, bias, eps, tau)
