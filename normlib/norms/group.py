"""Group normalization, and the function that group, layer and instance norm share."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms._channels_last_group import channels_last_group_norm
from normlib.norms._eager import is_plain, means_are_within, statistics_dtype
from normlib.norms._masked import standardize_groups
from normlib.norms._standardize import standardize
from normlib.norms.base import Norm, is_channels_last

# Up to here the channels-last kernel is as good as exact: its output is off by at most 1e-5 of its largest value (measured at
# up to 400,000 values a group); at 10 spreads by 3e-4.
FEW_SPREADS = 2.0
# With one channel a group that kernel goes through memory once a channel, and takes ten times as long, below so many
# positions; its backward pass does so in half precision wherever.
POSITIONS_OF_THE_QUICK_KERNEL = 2**10


@register(
    "group",
    statistics_over="positions and the channels of a group, per sample",
    axes=("group", "positions"),
    paper="arXiv:1803.08494",
)
class GroupNorm(Norm):
    """Standardizes each sample over the positions and the channels of each group of neighbouring channels.

    .. math:: y = \\gamma \\frac{x - \\mathrm{E}[x]}{\\sqrt{\\mathrm{Var}[x] + \\epsilon}} + \\beta

    Axes: positions and the channels of a group, per sample. `num_groups` groups, or groups of `group_size` channels; by
    default as many as the largest divisor of the width that is at most 8.

    Shapes: (N, C, *positions) to the same, any number of positions, none too; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Wu, He 2018, "Group Normalization", arXiv:1803.08494, equations 1, 2, 6 and 7.

    Deviations: the default is not the paper's 32 groups, which fail at 20 channels and leave one value a group on
    narrow inputs without positions. `num_features` comes first, as everywhere here; torch.nn has `num_groups` first.

    When: in convolutional networks at small batches, as in detection, segmentation and video.

    When not: with large batches, where batch norm costs no more at inference (it folds into the layer ahead) and mostly does better.
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
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=affine, channel_dim=channel_dim, device=device, dtype=dtype)
        self.num_groups = number_of_groups(num_features, num_groups, group_size)

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        self._require_groups_of_several(x)
        return normalize_groups(x, self.num_groups, *self.parameters_as(x), self.eps)

    def transform_masked(self, x: Tensor, mask: Tensor, guarded: bool) -> Tensor:
        self._require_groups_of_several(x)
        return self.scale_and_shift(standardize_groups(self._name, x, mask, self.num_groups, self.eps).x_hat)

    def _require_groups_of_several(self, x: Tensor) -> None:
        self.require_several_values(
            x.numel() // (x.shape[0] * self.num_groups),
            x,
            "the channels of a group and the positions",
            "use fewer groups (num_groups) or an input with positions",
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


def normalize_groups(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """torch's group norm of `x` (N, C, *positions), right in all memory formats; on plain tensors in that of `x`.

    The channels-last kernel forms E[x^2] - E[x]^2, which is off by more than 9 at mean 1000 and spread 0.01. So its result
    stands where every mean is within a few spreads of zero. Elsewhere each group is first shifted by one of its own values,
    which leaves the result the same.
    """
    if x.dim() == 2 or (x.is_contiguous() and x.stride(1) != 1) or torch.compiler.is_compiling():
        return torch.group_norm(x, num_groups, weight, bias, eps)
    if x.dim() == 3:
        four = x.unsqueeze(2)  # channels_last is (N, C, H, W)
        return normalize_groups(four, num_groups, weight, bias, eps).squeeze(2)
    if not is_channels_last(x) or not is_plain(x):
        return torch.group_norm(x.contiguous(), num_groups, weight, bias, eps)
    if num_groups == x.shape[1] and not _is_quick_for_single_channels(x):
        return standardize(x, tuple(range(2, x.dim())), weight, bias, eps)
    y, mean, rstd = channels_last_group_norm(x, num_groups, weight, bias, eps)
    if means_are_within(FEW_SPREADS, mean, rstd):
        return y
    exact = x.to(statistics_dtype(x))
    group_size = x.shape[1] // num_groups
    first_of_groups = (slice(None), slice(None, None, group_size)) + (slice(0, 1),) * (x.dim() - 2)
    reference = exact.detach()[first_of_groups]  # (N, groups, 1, ...)
    if group_size > 1 and num_groups > 1:
        reference = reference.repeat_interleave(group_size, dim=1)  # (N, C, 1, ...)
    return channels_last_group_norm(exact - reference, num_groups, weight, bias, eps)[0].to(x.dtype)


def _is_quick_for_single_channels(x: Tensor) -> bool:
    if torch.is_grad_enabled() and x.dtype is not statistics_dtype(x):
        return False
    return x.numel() >= POSITIONS_OF_THE_QUICK_KERNEL * x.shape[0] * x.shape[1]


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
