"""Modules and functions that know nothing of normlib, of every kind that it has to tell apart. Tests nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def per_channel(value: Tensor, x: Tensor) -> Tensor:
    return value.view(1, -1, *[1] * (x.dim() - 2))


def absolute(x, eps=1e-5):
    """Divides by the mean absolute value of a position."""
    return x / (x.abs().mean(1, keepdim=True) + eps)


class Shifted(nn.Module):
    """A scale and a shift under names of their own, of shape (1, C, 1), behind an activation-free layer norm over positions."""

    def __init__(self, num_features: int, affine: bool = True) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, num_features, 1))
        self.offset = nn.Parameter(torch.zeros(1, num_features, 1)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
        y = flat / (flat.square().mean(1, keepdim=True) + 1e-5).sqrt() * self.gain
        return (y if self.offset is None else y + self.offset).view_as(x)


class ShiftedBefore(nn.Module):
    """Its `bias` is added before the division, so it is no shift of the output."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        return absolute(x + per_channel(self.bias, x))


class ShiftedByOne(nn.Module):
    """One number for all channels is no shift of each."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return absolute(x) + self.bias


class OfTheBatch(nn.Module):
    """Depends on the batch and keeps nothing."""

    def __init__(self, num_features: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.abs().mean() + 1e-5)


class Averages(nn.Module):
    """Keeps a running average, and puts a new tensor in its place instead of changing it; `momentum` weighs the new value."""

    def __init__(self, num_features: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.running_size: Tensor
        self.register_buffer("running_size", torch.ones(num_features))
        self.register_buffer("constant", torch.full((num_features,), 2.0))

    def weight_of_the_new(self) -> float:
        return self.momentum

    def forward(self, x: Tensor) -> Tensor:
        size = self.running_size
        if self.training:
            size = x.abs().transpose(0, 1).flatten(1).mean(1)
            new = self.weight_of_the_new()
            self.running_size = (1 - new) * self.running_size + new * size.detach()
        return x / per_channel(size + 1e-5, x)


class AveragesAsKeras(Averages):
    """Here `momentum` weighs the old value."""

    def weight_of_the_new(self) -> float:
        return 1 - self.momentum


class AveragesByTenths(Averages):
    """No attribute sets how much a new value weighs."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        del self.momentum

    def weight_of_the_new(self) -> float:
        return 0.1


class Hides(nn.Module):
    """Keeps its running average where no state_dict finds it."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.size = 1.0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.size = 0.9 * self.size + 0.1 * float(x.detach().abs().mean())
        return x / self.size


class ForImagesOnly(nn.Module):
    """Takes no input without positions, and no other number of channels than 48."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        if num_features != 48:
            raise ValueError("48 channels only")

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, _ = x.shape
        return x / (x.abs().mean((2, 3)).view(n, c, 1, 1) + 1e-5)


class Pools(nn.Module):
    """Returns another shape than came."""

    def __init__(self, num_features: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0)
