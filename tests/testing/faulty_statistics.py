"""Norms with a fault in the statistics that they keep; each with the check of the contract that has to catch it, and words of the message."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from normlib.norms.base import Norm
from normlib.norms.batch import BatchNorm
from normlib.norms.running import per_channel
from tests.testing.right_norms import Averages, MeanSquare


class DividesByMeanSquare(Norm):
    """Right by itself: divides by a running E[x²]. But no switch knows of it."""

    depends_on_batch = True
    buffer_count = "C"

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("running_mean_square", torch.ones(num_features))

    def normalize(self, x):
        mean_square = self.running_mean_square
        if self.training:
            mean_square = x.square().mean([0, *range(2, x.dim())])
            with torch.no_grad():
                self.running_mean_square.lerp_(mean_square, 0.1)
        return x * (per_channel(mean_square, x) + self.eps).rsqrt()


class KeepsMeanSquareAsVariance(BatchNorm):
    """Divides by a running E[x²] that it keeps in running_var, and measures a variance all the same."""

    def _transform(self, x, mask, in_half):
        mean_square = self.running_var.clone()
        if self.training:
            mean_square = x.square().mean([0, *range(2, x.dim())])
            if self._moves():
                self.running_var.lerp_(mean_square.detach(), self.momentum)
        return self.scale_and_shift(x * (per_channel(mean_square, x) + self.eps).rsqrt())

    def _goes_straight(self, x):
        return False


class UsesABufferOfAnotherName(MeanSquare):
    """Keeps a second average, and eval mode uses that one: recompute_statistics has no effect."""

    buffer_count = "2C+1"

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("ema", torch.ones(num_features))

    def _move(self, found, *others):
        super()._move(found, *others)
        self.ema.lerp_(found[0]["mean_square"].detach(), self.momentum)

    def normalize_by_running(self, x, running):
        return super().normalize_by_running(x, {"mean_square": self.ema.to(x.dtype).clone()})


class UsesARunningBufferUnknown(MeanSquare):
    """As before, under the right name, but it is not one of the statistics that it measures."""

    buffer_count = "2C+1"

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("running_ema", torch.ones(num_features))

    def _move(self, found, *others):
        super()._move(found, *others)
        self.running_ema.lerp_(found[0]["mean_square"].detach(), self.momentum)

    def normalize_by_running(self, x, running):
        return super().normalize_by_running(x, {"mean_square": self.running_ema.to(x.dtype).clone()})


class NormalizesAllAtOnce(Averages):
    """Sets norm_batch_size aside."""

    def num_groups_of_samples(self, num_samples):
        return 1


class AveragesTheFirstGroup(Averages):
    def _move(self, found, counts, *others):
        super()._move(found[:1], counts[:1], *others)


class MovesTheUntracked(Averages):
    """track_running_stats matters when it is built, and no longer afterwards."""

    def _moves(self):
        return self.training and self.update_running


class CountsAllTheSame(Averages):
    """Its counter for reports, which no state_dict holds, moves although update_running is False."""

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("seen", torch.tensor(0), persistent=False)

    def normalize(self, x, mean, var):
        if self.training:
            self.seen.add_(1)
        return super().normalize(x, mean, var)


class UsesItsBuffersThemselves(Averages):
    def normalize_by_running(self, x, running):
        weight, bias = self.parameters_as(x)
        return F.batch_norm(x, self.running_mean, self.running_var, weight, bias, eps=self.eps)


class MovesInEveryPass(Averages):
    """A checkpoint's second pass is a pass like any other."""

    def forward(self, x, mask=None):
        y = super().forward(x, mask)
        if self._moves():
            self.running_mean.lerp_(x.detach().mean([0, *range(2, x.dim())]), self.momentum)
        return y


FAULTS = [
    (DividesByMeanSquare, "kept_statistics", "running_mean_square moves .* has_running_statistics is False"),
    (UsesABufferOfAnotherName, "kept_statistics", "ema moves in training; a running statistic is in a buffer named"),
    (KeepsMeanSquareAsVariance, "recomputed_statistics", "running_var, recomputed, against the limit of its average"),
    (UsesABufferOfAnotherName, "recomputed_statistics", "ema, recomputed"),
    (UsesARunningBufferUnknown, "recomputed_statistics", "running_ema, recomputed"),
    (NormalizesAllAtOnce, "ghost_batches", "norm_batch_size=2, against the parts alone"),
    (AveragesTheFirstGroup, "ghost_batches", "against the mean over the parts alone: running_mean"),
    (MovesTheUntracked, "track_running_stats", "the running statistics move in training"),
    (CountsAllTheSame, "modes", "the state changes although update_running is False"),
    (UsesItsBuffersThemselves, "own_pass", "modified by an inplace operation"),
    (MovesInEveryPass, "checkpointing", "one pass: state: running_mean"),
]
