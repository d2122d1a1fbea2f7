"""torch's group norm kernel for channels-last inputs on a CPU, with a gradient that is safe to ask for.

In come plain tensors, dense and channels last; out come the output, the means and the reciprocal deviations of the groups.
This file does not ask whether the kernel is accurate enough.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms._by_formula import gradients_by_formula, needs_formula

_kernel_backward = torch.ops.aten.native_group_norm_backward.default


def channels_last_group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalized `x`, scaled and shifted per channel, and the mean and rstd of each group, both (N, num_groups)."""
    samples, channels = x.shape[:2]
    sizes = (samples, channels, x.numel() // (samples * channels), num_groups)
    if torch.is_grad_enabled():
        result: tuple[Tensor, Tensor, Tensor] = _ChannelsLastGroupNorm.apply(x, weight, bias, sizes, eps)
        return result
    return torch.native_group_norm(x, weight, bias, *sizes, eps)


class _ChannelsLastGroupNorm(torch.autograd.Function):
    """The kernel's own derivative (torch 2.13) writes to a null pointer if only weight or bias needs a gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, sizes: tuple[int, int, int, int], eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, mean, rstd = torch.native_group_norm(x, weight, bias, *sizes, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.sizes, ctx.eps = sizes, eps
        ctx.mark_non_differentiable(mean, rstd)
        return y, mean, rstd

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        if needs_formula(gradient):

            def formula(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
                return torch.group_norm(x.contiguous(), ctx.sizes[-1], weight, bias, ctx.eps)

            return *gradients_by_formula(formula, (x, weight, bias), ctx.needs_input_grad[:3], gradient), None, None
        gradient = gradient.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
        mask = [True, weight is not None, bias is not None]
        return *_kernel_backward(gradient, x, mean, rstd, weight, *ctx.sizes, mask), None, None
