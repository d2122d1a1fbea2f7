"""The rivals of `sample_kernels.py`: torch.nn's layers, and plain formulas for the compiler. Times nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normlib.bench.contenders import OverChannels


def torch_layer(norm: Any, name: str, shape: tuple[int, ...]) -> nn.Module | None:
    """torch.nn's layer that does what `norm` does, with its parameters; None where there is none."""
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
    """A layer for channels in dimension 1, given (N, T, C): the channels are moved there and back."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.movedim(-1, 1))
        return y.movedim(1, -1).contiguous()


class _Formula:
    """`steps` on an input with its channels in dimension 1, in float32, with the parameters of `norm` per channel."""

    def __init__(self, steps: Callable[..., Tensor], norm: Any, rank: int) -> None:
        self.steps, self.norm, self.rank = steps, norm, rank

    def __call__(self, x: Tensor) -> Tensor:
        norm = self.norm
        moved = x if norm.channel_dim == 1 else x.movedim(-1, 1)

        def each(values: Tensor) -> Tensor:
            return values.view((-1,) + (1,) * (self.rank - 2))

        y = self.steps(moved.float(), norm, each).to(x.dtype)
        return y if norm.channel_dim == 1 else y.movedim(1, -1)


def _positions(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.dim()))


def _group_variance(x: Tensor, groups: int) -> Tensor:
    grouped = x.reshape(x.shape[0], groups, -1)
    var = grouped.var(2, correction=0).repeat_interleave(x.shape[1] // groups, dim=1)
    return var.view(x.shape[:2] + (1,) * (x.dim() - 2))


def _rms(x: Tensor, norm: Any, each: Any) -> Tensor:
    axes = (1,) if norm.scope == "position" else tuple(range(1, x.dim()))
    return x * (x.square().mean(axes, keepdim=True) + norm.eps).rsqrt() * each(norm.weight)


def _pono(x: Tensor, norm: Any, each: Any) -> Tensor:
    var, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
    return (x - mean) * (var + norm.eps).rsqrt() * each(norm.weight) + each(norm.bias)


def _dyt(x: Tensor, norm: Any, each: Any) -> Tensor:
    return torch.tanh(norm.alpha * x) * each(norm.weight) + each(norm.bias)


def _scale_norm(x: Tensor, norm: Any, each: Any) -> Tensor:
    return norm.weight * x / x.square().sum(1, keepdim=True).sqrt().clamp(min=norm.eps)


def _grn(x: Tensor, norm: Any, each: Any) -> Tensor:
    response = x.square().sum(_positions(x), keepdim=True).sqrt() if x.dim() > 2 else x.abs()
    return each(norm.weight) * (x * (response / (response.mean(1, keepdim=True) + norm.eps))) + each(norm.bias) + x


def _frn(x: Tensor, norm: Any, each: Any) -> Tensor:
    y = x * (x.square().mean(_positions(x), keepdim=True) + norm.eps).rsqrt()
    return torch.maximum(y * each(norm.weight) + each(norm.bias), each(norm.tau))


def _lrn(x: Tensor, norm: Any, each: Any) -> Tensor:
    aside = norm.n // 2
    squares = torch.nn.functional.pad(x.square(), (0, 0) * (x.dim() - 2) + (aside, aside))
    total = sum(squares[:, first : first + x.shape[1]] for first in range(norm.n))
    return x * (norm.k + norm.alpha * total).pow(-norm.beta)


def _evonorm_s0(x: Tensor, norm: Any, each: Any) -> Tensor:
    deviation = (_group_variance(x, norm.num_groups) + norm.eps).sqrt()
    return x * torch.sigmoid(each(norm.v) * x) / deviation * each(norm.weight) + each(norm.bias)


def _evonorm_b0(x: Tensor, norm: Any, each: Any) -> Tensor:
    over_batch = x.var([0, *_positions(x)], correction=0)
    count = x.numel() / x.shape[1]
    norm.running_var.lerp_(over_batch.detach() * (count / (count - 1)), 0.1)
    own = (x.var(_positions(x), correction=0, keepdim=True) + norm.eps).sqrt()
    divisor = torch.maximum(each((over_batch + norm.eps).sqrt()), each(norm.v) * x + own)
    return x / divisor * each(norm.weight) + each(norm.bias)


FORMULAS: dict[str, Callable[[Any, int], _Formula]] = {
    name: (lambda norm, rank, steps=steps: _Formula(steps, norm, rank))
    for name, steps in {
        "rms": _rms, "pono": _pono, "dyt": _dyt, "scale_norm": _scale_norm, "grn": _grn, "frn": _frn, "lrn": _lrn,
        "evonorm_s0": _evonorm_s0, "evonorm_b0": _evonorm_b0,
    }.items()
}  # fmt: skip
