"""Norms with a fault in masks and under torch's transformations; each with the check of the contract that has to catch it, and words of the message."""

from __future__ import annotations

import torch

from tests.testing.right_norms import Averages, Plain


class TakesAMaskWithoutSayingSo(Plain):
    def forward(self, x, mask=None):
        return super().forward(x)


class IgnoresItsMask(Plain):
    takes_mask = True

    def forward(self, x, mask=None):
        return super().forward(x)


class CountsThePaddingAsZeros(Plain):
    takes_mask = True

    def transform(self, x, mask=None):
        return super().transform(x)


class LooksIntoThePadding(CountsThePaddingAsZeros):
    def forward(self, x, mask=None):
        y = super().forward(x, mask)
        return y if mask is None else torch.where(mask.unsqueeze(1), y + x.detach()[:, :, -1:], y)


class AveragesThePadding(Averages):
    """Normalizes as it should, but its running mean takes the padding in."""

    def measure_part(self, x, mask, together=False):
        self.whole_mean = x.mean([0, *range(2, x.dim())])
        return super().measure_part(x, mask, together)

    def averaged(self, statistics, count):
        return {"mean": self.whole_mean, "var": statistics["var"]} if hasattr(self, "whole_mean") else statistics


class KeepsItsClockInPython(Plain):
    step = 0

    def normalize(self, x):
        self.step += 1
        return super().normalize(x) * (1 + 0.1 * self.step)


class BreaksTheGraph(Plain):
    def normalize(self, x):
        torch._dynamo.graph_break()
        return super().normalize(x)


class AsksItsClock(Averages):
    def forward(self, x, mask=None):
        return super().forward(x, mask) * (1.0 if self.num_batches_tracked.item() >= 0 else 2.0)


class MovesItsOwnState(Averages):
    """Moves the buffers that it was built with, not those that it is given."""

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.statistics_kept = [self.running_mean, self.running_var]

    def _move(self, found, *_):
        for kept, new in zip(self.statistics_kept, found[0].values()):
            kept.lerp_(new.detach(), self.momentum)


class AsksForTheBatchSize(Plain):
    def normalize(self, x):
        return super().normalize(x) * (1 if x.shape[0] == 6 else 2)


FAULTS = [
    (TakesAMaskWithoutSayingSo, "mask", "takes a mask although takes_mask is False"),
    (IgnoresItsMask, "mask", "padding does not come out as zeros"),
    (CountsThePaddingAsZeros, "mask", "twice as much padding: off by"),
    (LooksIntoThePadding, "mask", "in the padding changes the output"),
    (AveragesThePadding, "mask", ": running_mean: off by"),
    (KeepsItsClockInPython, "compile", "Detected recompile"),
    (BreaksTheGraph, "compile", "graph_break"),
    (AsksItsClock, "vmap", "data-dependent control flow"),
    (MovesItsOwnState, "functional_call", "changes the norm's own state"),
    (AsksForTheBatchSize, "export", "specialized it to be a constant"),
]
