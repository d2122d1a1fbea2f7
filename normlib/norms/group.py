"""Group normalization."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms._layout import laid_out_like
from normlib.norms.base import Norm
from normlib.norms.kernels.group_norm import normalize_groups
from normlib.norms.kernels.inspection import is_direct
from normlib.norms.kernels.masked import standardize_groups


@register(
    "group",
    statistics_over="positions and the channels of a group, per sample",
    axes=("group", "positions"),
    paper="arXiv:1803.08494",
)
class GroupNorm(Norm):
    r"""Standardizes each sample over the positions and the channels of each group of neighbouring channels.

    .. math:: y = \gamma \frac{x - \mathrm{E}[x]}{\sqrt{\mathrm{Var}[x] + \epsilon}} + \beta

    Axes: Positions and the channels of a group, per sample. There are `num_groups` groups, or groups of `group_size`
    channels. By default the number of groups is the largest divisor of the width that is at most 8.

    Shapes: (N, C, *positions) to the same, with any number of positions or none. With ``channel_dim=-1``
    (N, *positions, C).

    Paper: Wu, He 2018, "Group Normalization", arXiv:1803.08494, equations 1, 2, 6 and 7.

    Deviations: The default is not the paper's 32 groups. Those fail at 20 channels, and leave one value a group on
    narrow inputs without positions. `num_features` comes first, as everywhere here; torch.nn has `num_groups` first.

    When: In convolutional networks at small batches, as in detection, segmentation and video.

    When not: With large batches. There batch norm costs no more at inference, where it folds into the layer ahead, and
    mostly does better.

    Settings:
        num_groups: groups of channels; null is the largest divisor of the width up to 8
        group_size: channels of a group, in place of num_groups
    """

    takes_half: ClassVar[bool] = True
    takes_mask: ClassVar[bool] = True
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "input_shift", "sample_scale", "sample_shift", "batch_permutation"}
    )

    def __init__(
        self,
        num_features: int,
        num_groups: int | None = None,
        group_size: int | None = None,
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
        self.num_groups = number_of_groups(num_features, num_groups, group_size)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None and self.channel_dim == 1 and is_direct(x, self._parameters):
            shape, parameters = x.shape, self._parameters
            if len(shape) > 1 and shape[1] == self.num_features and x.numel() > shape[0] * self.num_groups:
                # nothing to cast or to transpose
                y = normalize_groups(x, self.num_groups, parameters["weight"], parameters["bias"], self.eps)
                return y if y.stride() == x.stride() else laid_out_like(x, y)
        return super().forward(x, mask)

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self._require_groups_of_several(x)
        if mask is None:
            return normalize_groups(x, self.num_groups, *self.parameters_as(x), self.eps)
        return self.scale_and_shift(standardize_groups(self._name, x, mask, self.num_groups, self.eps))

    def _require_groups_of_several(self, x: Tensor) -> None:
        self.require_several_values(
            x.numel() // (x.shape[0] * self.num_groups),
            x,
            "the channels of a group and the positions",
            "use fewer groups (num_groups) or an input with positions",
        )

    @property
    def num_channels(self) -> int:
        """torch.nn's name for the channels."""
        return self.num_features

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


def number_of_groups(width: int, num_groups: int | None, group_size: int | None) -> int:
    if num_groups is not None and group_size is not None:
        raise ValueError(
            f"groups are given by num_groups or by group_size, not by both; got num_groups={num_groups} and group_size={group_size}; leave one out"
        )
    if num_groups is None and group_size is None:
        return max(groups for groups in range(1, 9) if width % groups == 0)
    name, divisor = ("group_size", group_size) if num_groups is None else ("num_groups", num_groups)
    assert divisor is not None
    if divisor < 1 or width % divisor:
        divisors = [d for d in range(1, width + 1) if width % d == 0]
        raise ValueError(
            f"{name} has to divide num_features, but {width} channels came with {name}={divisor}; use one of {divisors}"
        )
    return width // divisor if num_groups is None else divisor
