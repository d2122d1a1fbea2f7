"""Norms without a fault, in the shape of a stranger's, that the contract has to pass and that faults are planted in."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from normlib.norms.base import Norm


def standardize(x, axes, eps, mean=None, var=None):
    mean = x.mean(axes, keepdim=True) if mean is None else mean
    var = x.var(axes, correction=0, keepdim=True) if var is None else var
    return (x - mean) / (var + eps).sqrt()


def axes_of_a_sample(x):
    return list(range(1, x.dim()))


class Plain(Norm):
    """A right norm in a few lines, as a stranger would write it."""

    def normalize(self, x):
        self.require_several_values(x[0].numel(), x, "a sample", "give it more channels")
        return standardize(x, axes_of_a_sample(x), self.eps)


class Averages(Norm):
    """A right norm with running statistics, likewise."""

    depends_on_batch = True
    buffer_count = "2C+1"
    momentum = 0.1

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def transform(self, x, guarded):
        axes, per_channel = [0, *range(2, x.dim())], (1, -1) + (1,) * (x.dim() - 2)
        moves, by_batch = self.moves_running_statistics, self.uses_batch_statistics
        if moves or by_batch:
            self.require_several_values(x.numel() // x.shape[1], x, "the batch", "use more samples")
        mean, var = (getattr(self, name).view(per_channel).to(x.dtype) for name in ("running_mean", "running_var"))
        if by_batch:
            mean, var = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
        y = self.scale_and_shift(standardize(x, axes, self.eps, mean, var))
        if moves:
            self.move(x.detach().mean(axes), x.detach().var(axes, correction=0), guarded)
        return y

    def move(self, mean, var, guarded):
        self.move_running_statistics({"running_mean": mean, "running_var": var}, self.momentum, guarded)


class Centres(nn.Module):
    """Right weights: each output's less their mean, over their deviation."""

    def forward(self, weight):
        rows = weight.flatten(1).float() if weight.dtype in (torch.float16, torch.bfloat16) else weight.flatten(1)
        return self.of_rows(rows).view_as(weight).to(weight.dtype)

    def of_rows(self, rows):
        return standardize(rows, [1], 1e-5)


class OnWeights(Norm):
    """A right method on weights."""

    slot = "weight"
    parameter_count = "0"
    exceptions = {"pickle": "torch pickles no parametrized layer"}
    function: Any = Centres

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, affine=False, channel_dim=channel_dim)

    def enter(self, place):
        parametrize.register_parametrization(place.ahead, "weight", self.function())

    def normalize(self, x):
        return x


class WholeSite(Plain):
    """A right norm with an activation of its own."""

    slot = "site"

    def __init__(self, num_features, activate=True, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.activate = activate

    def transform(self, x, guarded):
        y = super().transform(x, guarded)
        return y * y.sigmoid() if self.activate else y


RIGHT = (Plain, Averages, OnWeights, WholeSite)
