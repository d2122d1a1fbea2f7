"""Norms with a fault in what they declare; each with the check of the contract that has to catch it, and words of the message."""

from __future__ import annotations

import torch
from torch import nn

from normlib.norms.batch import BatchNorm
from normlib.norms.batch_renorm import BatchRenorm
from tests.testing.right_norms import Averages, Plain


class ExcusesAnUnknownCheck(Plain):
    exceptions = {"gradient": "there is no such check"}


class ExcusesWithoutAReason(Plain):
    exceptions = {"gradients": " "}


class HasASlotOfItsOwn(Plain):
    slot = "middle"  # type: ignore[assignment]


class CountsInWords(Plain):
    parameter_count = "two per channel"


class CountsOneTooFew(Averages):
    buffer_count = "2C"


class CountsForOneWidth(Plain):
    parameter_count = "32"


class StartsAtTwo(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        nn.init.constant_(self.weight, 2.0)


class DrawsWhenBuilt(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        torch.randn(3)


class DrawsWhenUsed(Plain):
    def normalize(self, x):
        return super().normalize(x) + 0 * torch.rand(())


class LeaksAcrossSamples(BatchNorm):
    depends_on_batch = False


class DeclaresTheWrongInvariance(Plain):
    invariances = frozenset({"sample_scale", "channel_scale"})


class TakesTheVarianceForTheDeviation(BatchRenorm):
    """What it averages in running_std is the variance."""

    def averaged(self, statistics, count):
        return {"mean": statistics["mean"], "std": statistics["std"].square()}


class AveragesTheVariance(BatchRenorm):
    """What it averages is the variance, of which running_std then is the root: more than the average deviation."""

    def forward(self, x, mask=None):
        before = self.running_std.clone()
        y = super().forward(x, mask)
        if self._moves():
            var = x.detach().transpose(0, 1).flatten(1).var(1, correction=0) + self.eps
            self.running_std.copy_(before.square().lerp(var.to(before.dtype), self.momentum).sqrt())
        return y


class TakesMomentumForTheOldValue(Averages):
    def _move(self, *measured):
        self.momentum = 1 - self.momentum
        super()._move(*measured)
        self.momentum = 1 - self.momentum


FAULTS = [
    (ExcusesAnUnknownCheck, "declarations", "no check is named 'gradient'; did you mean 'gradients'"),
    (ExcusesWithoutAReason, "declarations", "needs a reason"),
    (HasASlotOfItsOwn, "declarations", "slot is one of norm, site, weight, branch, got 'middle'"),
    (CountsInWords, "declarations", "got 'two per channel'"),
    (CountsOneTooFew, "counts", "buffer_count='2C', which is 32 at C=16, but has 33"),
    (CountsForOneWidth, "counts", "parameter_count='32', which is 32 at C=48, but has 96"),
    (StartsAtTwo, "start", "weight starts at 1, got values from 2 to 2"),
    (DrawsWhenBuilt, "random_numbers", "building the norm draws"),
    (DrawsWhenUsed, "random_numbers", "using the norm draws"),
    (LeaksAcrossSamples, "dependence", "output changes with its batch"),
    (DeclaresTheWrongInvariance, "invariances", "declares the invariances channel_scale, but"),
    (TakesTheVarianceForTheDeviation, "running_averages", "running_std took .* from a batch, but"),
    (AveragesTheVariance, "running_averages", "running_std is not an average"),
    (TakesMomentumForTheOldValue, "running_averages", "momentum=0.1"),
]
