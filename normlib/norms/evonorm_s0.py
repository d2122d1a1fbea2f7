"""EvoNorm S0: a sigmoid gate over the deviation of groups of channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.group import number_of_groups
from normlib.norms.kernels.gate import gated
from normlib.norms.kernels.sample_moments import moments_over_groups


@register(
    "evonorm_s0",
    statistics_over="positions and the channels of a group, per sample",
    axes=("group", "positions"),
    paper="arXiv:2004.02967",
)
class EvoNormS0(Norm):
    r"""Gates each value by a sigmoid of itself and divides by the deviation of its group of channels. It is norm and
    activation in one.

    .. math:: y = \gamma \frac{x\, \sigma(v x)}{\sqrt{\mathrm{Var}[x] + \epsilon}} + \beta

    Axes: Positions and the channels of a group, per sample, as in group norm. The gate's slope `v` is one number a
    channel, from 1.

    Shapes: (N, C, *positions) to the same, with any number of positions or none. With ``channel_dim=-1``
    (N, *positions, C).

    Paper: Liu, Brock, Simonyan, Le 2020, "Evolving Normalization-Activation Layers", arXiv:2004.02967, its layer
    EvoNorm-S0.

    Deviations: The default number of groups is the largest divisor of the width that is at most 8, as for group norm
    here. The authors take at most 32 groups. ``activate=False``, for a place without an activation, scales and shifts
    alone, without statistics. The authors' code (tensorflow/tpu, ``nonlinearity=False``) does the same.

    When: In convolutional networks at small batches, in place of a norm and its activation together.

    When not: Where the activation itself is compared, or inputs are far from zero: the mean is not subtracted.

    Settings:
        num_groups: groups of channels; null is the largest divisor of the width up to 8
        group_size: channels of a group, in place of num_groups
    """

    slot: ClassVar[Literal["norm", "site", "weight", "branch"]] = "site"
    parameter_count: ClassVar[str] = "3C"
    starts_at: Mapping[str, float] = {"weight": 1.0, "bias": 0.0, "v": 1.0}
    invariances: ClassVar[frozenset[str]] = frozenset({"batch_permutation"})

    v: nn.Parameter | None

    def __init__(
        self,
        num_features: int,
        num_groups: int | None = None,
        group_size: int | None = None,
        eps: float = 1e-5,
        affine: bool = True,
        activate: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=affine, channel_dim=channel_dim, device=device, dtype=dtype)
        self.activate = activate
        self.num_groups = number_of_groups(num_features, num_groups, group_size)
        v = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype)) if activate else None
        self.register_parameter("v", v)

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.v is None:
            return self.scale_and_shift(x)
        self.require_several_values(
            x.numel() // (x.shape[0] * self.num_groups),
            x,
            "the channels of a group and the positions",
            "use fewer groups (num_groups) or an input with positions",
            outcome="the deviation would always be zero",
        )
        _, var = moments_over_groups(x, self.num_groups)
        factor = (var + self.eps).rsqrt()  # (N, C, 1, ...)
        weight, bias = self.parameters_as(x)
        per_channel = (1, -1) + (1,) * (x.dim() - 2)
        y = gated(x, self.v.to(x.dtype).view(per_channel[1:]))
        if weight is None or bias is None:
            return y * factor
        return y * (factor * weight.view(per_channel)) + bias.view(per_channel)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, num_groups={self.num_groups}"
