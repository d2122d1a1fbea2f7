"""Group normalization, and the function that group, layer and instance norm share."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normlib.norms import register
from normlib.norms.base import Norm, is_channels_last


@register("group", statistics_over="positions and the channels of a group, per sample", paper="arXiv:1803.08494")
class GroupNorm(Norm):
    """Standardizes each sample over the positions and the channels of each group of neighbouring channels.

    .. math:: y = \\gamma \\frac{x - \\mathrm{E}[x]}{\\sqrt{\\mathrm{Var}[x] + \\epsilon}} + \\beta

    Axes: positions and the channels of a group, per sample. `num_groups` groups, or groups of `group_size` channels; by
    default as many as the largest divisor of the width that is at most 8.

    Shapes: (N, C, *positions) to the same, any number of positions, none too; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Wu, He 2018, "Group Normalization", arXiv:1803.08494, equations 1, 2, 6 and 7.

    Deviations: the default is not the paper's 32 groups, which fail at 20 channels and leave one value a group on
    narrow inputs without positions. `num_features` comes first, as everywhere here; torch.nn has `num_groups` first.
    """

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
        self.num_groups = _number_of_groups(num_features, num_groups, group_size)

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        self.require_several_values(
            x[0].numel() // self.num_groups,
            x,
            "the channels of a group and the positions",
            "use fewer groups (num_groups) or an input with positions",
        )
        return normalize_groups(x, self.num_groups, *self.parameters_as(x), self.eps)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, num_groups={self.num_groups}"


def normalize_groups(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """torch's group norm of `x` (N, C, *positions), in the memory format of `x` and right in all of them.

    The channels-last kernel forms E[x^2] - E[x]^2, which is off by more than 9 at mean 1000 and spread 0.01. So each
    group is first shifted by one of its own values: its mean is then within a few spreads of zero, and the result is the same.
    """
    if x.dim() == 2 or (x.is_contiguous() and x.stride(1) != 1) or torch.compiler.is_compiling():
        return F.group_norm(x, num_groups, weight, bias, eps)
    if x.dim() == 3:
        return normalize_groups(x.unsqueeze(2), num_groups, weight, bias, eps).squeeze(
            2
        )  # channels_last needs (N, C, H, W)
    if not is_channels_last(x):
        return F.group_norm(x.contiguous(), num_groups, weight, bias, eps)
    group_size = x.shape[1] // num_groups
    reference = x.detach()[
        (slice(None), slice(None, None, group_size)) + (slice(0, 1),) * (x.dim() - 2)
    ]  # (N, groups, 1, ...)
    if group_size > 1 and num_groups > 1:
        reference = reference.repeat_interleave(group_size, dim=1)  # (N, C, 1, ...)
    if weight is None or bias is None:
        return F.group_norm(x - reference, num_groups, None, None, eps)
    return _ChannelsLastGroupNorm.apply(x - reference, weight, bias, num_groups, eps)[0]


class _ChannelsLastGroupNorm(torch.autograd.Function):
    """torch's group norm, whose own channels-last backward (torch 2.13) writes to a null pointer if only weight or bias needs a gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        return torch.native_group_norm(x, weight, bias, x.shape[0], x.shape[1], x[0, 0].numel(), num_groups, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        x, weight, bias, ctx.num_groups, ctx.eps = inputs
        ctx.save_for_backward(x, weight, bias, *output[1:])
        ctx.mark_non_differentiable(*output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            wanted = [tensor for tensor, needed in zip((x, weight, bias), ctx.needs_input_grad) if needed]
            y = F.group_norm(x.contiguous(), ctx.num_groups, weight, bias, ctx.eps)
            gradients = iter(torch.autograd.grad(y, wanted, gradient, create_graph=True))
            return *(next(gradients) if needed else None for needed in ctx.needs_input_grad[:3]), None, None
        sizes = x.shape[0], x.shape[1], x[0, 0].numel(), ctx.num_groups
        gradient = gradient.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
        return (
            *torch.ops.aten.native_group_norm_backward(gradient, x, mean, rstd, weight, *sizes, [True] * 3),
            None,
            None,
        )


def _number_of_groups(width: int, num_groups: int | None, group_size: int | None) -> int:
    if num_groups is not None and group_size is not None:
        raise ValueError(
            f"group norm takes num_groups or group_size, not both; got num_groups={num_groups} and group_size={group_size}; leave one out"
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
