"""The layers of torch.nn that `sample_kernels.py` compares norms with. Times nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from normlib.timings.contenders import OverChannels


def torch_layer(norm: Any, name: str, shape: tuple[int, ...]) -> nn.Module | None:
    """torch.nn's layer that does the same as `norm`, with its parameters. None if there is none."""
    channels, rank = norm.num_features, len(shape)
    last = norm.channel_dim == -1
    if name == "group":
        layer: nn.Module | None = MovedChannels(nn.GroupNorm(norm.num_groups, channels)) if last else None
        layer = layer or nn.GroupNorm(norm.num_groups, channels)
    elif name == "layer":
        layer = nn.LayerNorm(channels) if last or rank == 2 else nn.GroupNorm(1, channels)
    elif name == "instance":
        kinds = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}
        layer = kinds[rank](channels, affine=True)
        layer = MovedChannels(layer) if last else layer
    elif name == "rms":
        layer = nn.RMSNorm(channels, eps=1e-5) if last or rank == 2 else None
    elif name == "pono":
        layer = nn.LayerNorm(channels) if last or rank == 2 else OverChannels(nn.LayerNorm(channels))
    elif name == "lrn":
        layer = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0) if rank > 2 and not last else None
    else:
        return None
    if layer is not None:
        with torch.no_grad():
            for ours, theirs in zip(norm.parameters(), layer.parameters(), strict=True):
                theirs.copy_(ours)
    return layer


class MovedChannels(nn.Module):
    """A layer for channels in dimension 1, applied to (N, T, C): the channels are moved there and back."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.movedim(-1, 1))
        return y.movedim(1, -1).contiguous()
