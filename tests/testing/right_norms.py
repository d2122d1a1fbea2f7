"""Norms without a fault, in the shape of a stranger's, that the contract has to pass and that faults are planted in."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from normlib.norms.base import Norm
from normlib.norms.running import RunningNorm, per_channel


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


class Averages(RunningNorm):
    """A right norm with running statistics, likewise."""

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, {"mean": 0.0, "var": 1.0}, channel_dim=channel_dim)

    def measure(self, x):
        axes = [0, *range(2, x.dim())]
        return {"mean": x.mean(axes), "var": x.var(axes, correction=0)}

    def normalize(self, x, mean, var):
        return standardize(x, [], self.eps, per_channel(mean, x), per_channel(var, x))


class MeanSquare(RunningNorm):
    """A right norm whose statistic is neither a mean nor a variance."""

    buffer_count = "C+1"

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, {"mean_square": 1.0}, channel_dim=channel_dim)

    def measure(self, x):
        return {"mean_square": x.square().mean([0, *range(2, x.dim())])}

    def normalize(self, x, mean_square):
        return x * (per_channel(mean_square, x) + self.eps).rsqrt()


class Centres(nn.Module):
    """Right weights: each output's less their mean, over their deviation."""

    def forward(self, weight):
        rows = weight.flatten(1).float() if weight.dtype in (torch.float16, torch.bfloat16) else weight.flatten(1)
        return self.transform_rows(rows).view_as(weight).to(weight.dtype)

    def transform_rows(self, rows):
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

    def transform(self, x, mask=None):
        y = super().transform(x, mask)
        return y * y.sigmoid() if self.activate else y


RIGHT = (Plain, Averages, MeanSquare, OnWeights, WholeSite)
