"""The plain formulas of common norms, to be compiled: a few lines of elementwise steps and means. Times nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

EPS, MOMENTUM = 1e-5, 0.1


def _axes(name: str, rank: int, channel_dim: int) -> tuple[int, ...]:
    positions = tuple(range(2, rank))
    if channel_dim == -1:
        return (rank - 1,)
    return {"batch": (0, *positions), "layer": (1, *positions), "instance": positions}[name]


FORMULAS = {("batch", 1), ("layer", 1), ("instance", 1), ("group", 1), ("layer", -1), ("rms", -1)}
"""The names, and where the channels are, that there is a formula for."""


class Formula(nn.Module):
    """weight * (x - mean) / sqrt(var + eps) + bias in steps that a compiler may fuse; RMS norm without mean and bias."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, name: str, channels: int, rank: int, channel_dim: int) -> None:
        super().__init__()
        self.name = name
        self.groups = max(groups for groups in range(1, 9) if channels % groups == 0) if name == "group" else None
        self.axes = () if name in ("group", "rms") else _axes(name, rank, channel_dim)
        self.shape = (channels,) if channel_dim == -1 else (1, channels) + (1,) * (rank - 2)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        if name == "batch":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        exact = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        weight = self.weight.view(self.shape)
        if self.name == "rms":
            return (exact * (exact.square().mean(-1, keepdim=True) + EPS).rsqrt() * weight).to(x.dtype)
        if self.groups is not None:
            grouped = exact.reshape(x.shape[0], self.groups, -1)
            var, mean = torch.var_mean(grouped, 2, correction=0, keepdim=True)
            x_hat = ((grouped - mean) * (var + EPS).rsqrt()).reshape(x.shape)
        else:
            var, mean = torch.var_mean(exact, self.axes, correction=0, keepdim=True)
            x_hat = (exact - mean) * (var + EPS).rsqrt()
            if self.name == "batch":
                count = x.numel() / x.shape[1]
                self.running_mean.lerp_(mean.detach().flatten(), MOMENTUM)
                self.running_var.lerp_(var.detach().flatten() * (count / (count - 1)), MOMENTUM)
        return (x_hat * weight + self.bias.view(self.shape)).to(x.dtype)


def compiled_formula(name: str, channels: int, rank: int, channel_dim: int) -> nn.Module:
    """The formula, compiled when it is first called."""
    layer = Formula(name, channels, rank, channel_dim)
    compile_in_place: Callable[..., None] = layer.compile
    compile_in_place(fullgraph=True)
    torch.compiler.reset()  # the one before has been timed; else all formulas together reach torch's limit of recompilations
    return layer
