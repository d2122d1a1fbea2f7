"""The plain formula of every norm, to be compiled: a few lines of elementwise steps and means, at default settings.

In comes a norm, out goes a layer with copies of its parameters and running statistics. This file times nothing.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normlib.norms.base import Norm

EPS, MOMENTUM = 1e-5, 0.1
MOST_GROUPS = 8
RENORM_MOMENTUM, R_MAX, D_MAX = 0.01, 3.0, 5.0
RENORM_START, D_END, R_END = 5_000, 25_000, 40_000  # steps; the schedule of the paper, arXiv:1702.03275, section 4
LRN_CHANNELS, LRN_ALPHA, LRN_BETA, LRN_K = 5, 1e-4, 0.75, 2.0


def number_of_groups(channels: int) -> int:
    """The largest divisor that is at most 8, as normlib's group norm takes by default."""
    return max(groups for groups in range(1, MOST_GROUPS + 1) if channels % groups == 0)


class Formula(nn.Module):
    """A norm's formula in steps that a compiler may fuse, in float32 or better.

    `c` is the dimension of the channels, `positions` those of the positions. A parameter is read by `of_channel`, which gives
    it the shape of a value a channel.
    """

    weight: Tensor
    alpha: Tensor
    multiplier: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: Norm, name: str, rank: int) -> None:
        super().__init__()
        self.formula = FORMULAS[name]
        self.by_position = norm.channel_dim == -1  # layer and RMS norm: over the channels of a token
        self.c = 1 if norm.channel_dim == 1 else rank - 1
        self.positions = tuple(d for d in range(1, rank) if d != self.c)
        self.shape = tuple(-1 if d == self.c else 1 for d in range(rank))
        self.groups = number_of_groups(norm.num_features)
        trained = dict(norm.named_parameters())
        for key, value in norm.state_dict().items():
            if key in trained:
                self.register_parameter(key, nn.Parameter(value.clone()))
            else:
                self.register_buffer(key, value.clone())

    def forward(self, x: Tensor) -> Tensor:
        exact = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        return self.formula(self, exact).to(x.dtype)

    def of_channel(self, name: str) -> Tensor:
        parameter: Tensor = getattr(self, name)
        return parameter.view(self.shape)

    def scaled(self, x_hat: Tensor) -> Tensor:
        return x_hat * self.of_channel("weight") + self.of_channel("bias")

    def move(self, momentum: float, **statistics: Tensor) -> None:
        """Move running averages towards the batch's values, whose gradients they do not take, and count the batch."""
        for name, value in statistics.items():
            running: Tensor = getattr(self, f"running_{name}")
            running.lerp_(value.detach().flatten(), momentum)
        self.num_batches_tracked.add_(1)

    def grouped(self, x: Tensor) -> Tensor:
        """`x` with its channels in two dimensions: the groups, then the channels of each."""
        return x.unflatten(self.c, (self.groups, -1))

    def over_group(self) -> tuple[int, ...]:
        """The dimensions of `grouped` that the statistics of a group are over."""
        return tuple(d for d in range(1, len(self.shape) + 1) if d != self.c)


def standardized(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) * (var + EPS).rsqrt()


def _batch(layer: Formula, x: Tensor) -> Tensor:
    var, mean = torch.var_mean(x, (0, *layer.positions), correction=0, keepdim=True)
    count = x.numel() / x.shape[layer.c]
    layer.move(MOMENTUM, mean=mean, var=var * (count / (count - 1)))
    return layer.scaled((x - mean) * (var + EPS).rsqrt())


def _batch_renorm(layer: Formula, x: Tensor) -> Tensor:
    var, mean = torch.var_mean(x, (0, *layer.positions), correction=0, keepdim=True)
    std = (var + EPS).sqrt()
    running_mean, running_std = layer.of_channel("running_mean"), layer.of_channel("running_std")
    passed = layer.num_batches_tracked.to(x.dtype) - RENORM_START
    r_max = 1 + (R_MAX - 1) * (passed / (R_END - RENORM_START)).clamp(0, 1)
    d_max = D_MAX * (passed / (D_END - RENORM_START)).clamp(0, 1)
    r = (std.detach() / running_std).clamp(1 / r_max, r_max)
    d = ((mean.detach() - running_mean) / running_std).clamp(-d_max, d_max)
    y = layer.scaled((x - mean) / std * r + d)
    layer.move(RENORM_MOMENTUM, mean=mean, std=std)
    return y


def _group(layer: Formula, x: Tensor) -> Tensor:
    return layer.scaled(standardized(layer.grouped(x), layer.over_group()).flatten(layer.c, layer.c + 1))


def _over_sample(layer: Formula) -> tuple[int, ...]:
    return (layer.c,) if layer.by_position else (layer.c, *layer.positions)


def _rms(layer: Formula, x: Tensor) -> Tensor:
    mean_square = x.square().mean(_over_sample(layer), keepdim=True)
    return x * (mean_square + EPS).rsqrt() * layer.of_channel("weight")


def _grn(layer: Formula, x: Tensor) -> Tensor:
    response = x.square().sum(layer.positions, keepdim=True).sqrt() if layer.positions else x.abs()
    return layer.scaled(x * (response / (response.mean(layer.c, keepdim=True) + EPS))) + x


def _scale_norm(layer: Formula, x: Tensor) -> Tensor:
    length = x.square().sum(layer.c, keepdim=True).sqrt()
    return layer.weight * x / length.clamp(min=EPS)


def _lrn(layer: Formula, x: Tensor) -> Tensor:
    aside, channels = LRN_CHANNELS // 2, x.shape[layer.c]
    squares = F.pad(x.square(), (0, 0) * (x.dim() - 1 - layer.c) + (aside, aside))
    total = sum(squares.narrow(layer.c, first, channels) for first in range(LRN_CHANNELS))
    return x * (LRN_K + LRN_ALPHA * total) ** -LRN_BETA


def _evonorm_b0(layer: Formula, x: Tensor) -> Tensor:
    of_batch = torch.var(x, (0, *layer.positions), correction=0, keepdim=True)
    of_sample = torch.var(x, layer.positions, correction=0, keepdim=True)
    count = x.numel() / x.shape[layer.c]
    layer.move(MOMENTUM, var=of_batch * (count / (count - 1)))
    line = layer.of_channel("v") * x + (of_sample + EPS).sqrt()
    return layer.scaled(x / torch.maximum((of_batch + EPS).sqrt(), line))


def _evonorm_s0(layer: Formula, x: Tensor) -> Tensor:
    gated = layer.grouped(x * torch.sigmoid(layer.of_channel("v") * x))
    var = torch.var(layer.grouped(x), layer.over_group(), correction=0, keepdim=True)
    return layer.scaled((gated * (var + EPS).rsqrt()).flatten(layer.c, layer.c + 1))


def _frn(layer: Formula, x: Tensor) -> Tensor:
    x_hat = x * (x.square().mean(layer.positions, keepdim=True) + EPS).rsqrt()
    return torch.maximum(layer.scaled(x_hat), layer.of_channel("tau"))


FORMULAS: Mapping[str, Callable[[Formula, Tensor], Tensor]] = {
    "batch": _batch,
    "batch_renorm": _batch_renorm,
    "group": _group,
    "layer": lambda layer, x: layer.scaled(standardized(x, _over_sample(layer))),
    "instance": lambda layer, x: layer.scaled(standardized(x, layer.positions)),
    "pono": lambda layer, x: layer.scaled(standardized(x, (layer.c,))),
    "rms": _rms,
    "grn": _grn,
    "scale_norm": _scale_norm,
    "lrn": _lrn,
    "evonorm_b0": _evonorm_b0,
    "evonorm_s0": _evonorm_s0,
    "frn": _frn,
    "dyt": lambda layer, x: layer.scaled(torch.tanh(layer.alpha * x)),
    "skipinit": lambda layer, x: layer.alpha * x,
    "fixup": lambda layer, x: layer.multiplier * x,
}
"""By the norm's name."""


def compiled_formula(norm: Norm, name: str, rank: int) -> nn.Module:
    """The formula, compiled when it is first called."""
    layer = Formula(norm, name, rank)
    # A code object of its own: torch keeps what it compiled by code object, checks all of it at every call and stops at eight.
    own = types.FunctionType(Formula.forward.__code__.replace(), Formula.forward.__globals__)
    layer.forward = torch.compile(types.MethodType(own, layer), fullgraph=True)  # type: ignore[method-assign]
    return layer
