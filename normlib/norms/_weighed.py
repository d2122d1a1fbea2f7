"""Inference example weighing: every sample normalized with moments of its own, mixed into the running ones.

In come a norm in eval mode and its input, out goes what the norm makes of each sample when the mixture stands in place of
its running statistics. Nothing here moves them, and no sample sees another.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import statistics_dtype


def normalize_weighed(norm: Any, x: Tensor, valid: Tensor | None = None) -> Tensor:
    """`x` (N, C, *positions) through `norm`, each sample with the moments `own_weight` * own + (1 - `own_weight`) * running.

    A sample's own moments are those over its positions, where `valid` (N, 1, *positions) if that is given; without positions
    they are the value itself and its square. Raises ValueError in training mode.
    """
    if norm.training:
        raise ValueError(
            'statistics="weighed" is for inference, but the norm is in training mode: call eval(), or set statistics="auto"'
        )
    own = norm.own_weight
    values = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)  # (N, C, P)
    values = values.to(statistics_dtype(x))
    counted = torch.ones_like(values[:, :1]) if valid is None else valid.reshape(len(x), 1, -1).to(values.dtype)
    count = counted.sum(2).clamp(min=1)
    own_mean = (values * counted).sum(2) / count  # (N, C)
    own_var = ((values - own_mean.unsqueeze(2)).square() * counted).sum(2) / count
    mean, var = norm.population()
    mixed_var = own * own_var + (1 - own) * var
    mixed_mean = None
    if mean is not None:  # the mixture's second moment less the square of its first, without their cancellation
        mixed_mean = own * own_mean + (1 - own) * mean
        mixed_var = mixed_var + own * (1 - own) * (own_mean - mean).square()
    running = norm.buffers_for(mixed_mean, mixed_var)  # (N, C) each
    state = {**dict(norm.named_parameters()), **dict(norm.named_buffers())}
    layout = x if norm.channel_dim == 1 else x.movedim(1, -1)

    def alone(sample: Tensor, running: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(norm, {**state, **running}, (sample.unsqueeze(0),)).squeeze(0)

    norm.statistics = "running"
    try:
        y = torch.func.vmap(alone)(layout, running)
    finally:
        norm.statistics = "weighed"
    return y if norm.channel_dim == 1 else y.movedim(-1, 1)
