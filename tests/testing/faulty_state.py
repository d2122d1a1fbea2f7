"""Norms with a fault in their switches and their state; each with the check of the contract that has to catch it, and words of the message."""

from __future__ import annotations

import torch

from normlib.norms.batch import BatchNorm
from tests.testing.right_norms import Averages, Plain


class MovesInEvalMode(BatchNorm):
    def forward(self, x, mask=None):
        self.num_batches_tracked.add_(1)
        return super().forward(x, mask)


class MovesAllTheSame(Averages):
    def _moves(self):
        return self.training


class NeverMoves(Averages):
    def _moves(self):
        return False


class ThawsOnTrain(BatchNorm):
    def train(self, mode=True):
        if mode:
            self.unfreeze()
        return super().train(mode)


class TrainsWhileFrozen(Plain):
    def train_affine(self, train=True):
        pass


class KeepsThePoison(BatchNorm):
    def _transform(self, x, mask, in_half):
        return super()._transform(x, mask, False)


class ForgetsItsAverages(Averages):
    buffer_count = "C+1"

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("running_mean", torch.zeros(num_features), persistent=False)


class KeepsStateInPython(BatchNorm):
    def forward(self, x, mask=None):
        self.seen = getattr(self, "seen", 0) + 1
        return super().forward(x, mask) * self.seen


class SharesItsStateWithCopies(Averages):
    def __deepcopy__(self, memo):
        copied = type(self)(self.num_features)
        copied.load_state_dict(self.state_dict())
        copied.running_mean = self.running_mean
        return copied


class KeepsALambda(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.root = lambda x: x.sqrt()


class ClockIsNotSaved(Plain):
    """Grows by a tenth with each step that it has seen; a copy takes the clock along, a state_dict does not."""

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("clock", torch.tensor(0.0), persistent=False)

    def normalize(self, x):
        if self.training:
            self.clock.add_(0.1)
        return super().normalize(x) * (1 + self.clock)


FAULTS = [
    (MovesInEvalMode, "modes", "changes in eval mode"),
    (MovesAllTheSame, "modes", "although update_running is False"),
    (NeverMoves, "modes", "do not move in training"),
    (ThawsOnTrain, "frozen", "changes its state after train"),
    (TrainsWhileFrozen, "frozen", "still trained"),
    (KeepsThePoison, "non_finite", "a batch with inf changes the state"),
    (ForgetsItsAverages, "state_dict", "does not continue bit by bit"),
    (KeepsStateInPython, "state_dict", "does not continue bit by bit"),
    (SharesItsStateWithCopies, "deepcopy", "changes the original"),
    (KeepsALambda, "pickle", "Can.t pickle"),
    (ClockIsNotSaved, "resume", "in buffers that are saved"),
]
