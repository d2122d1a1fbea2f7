"""Norms with a fault in torch's tracers and idioms; each with the check of the contract that has to catch it, and words of the message."""

from __future__ import annotations

import torch
from torch import nn

from normlib.norms.base import Norm
from normlib.norms.batch_renorm import BatchRenorm
from tests.testing.faulty_transforms import KeepsItsClockInPython
from tests.testing.right_norms import Averages, Plain


class RecomputesFromMovedAverages(BatchRenorm):
    """Right outputs, but where compiled the backward pass takes r and d from the running statistics once more, and they have moved."""

    def running(self, x):
        return {"mean": self.running_mean, "std": self.running_std, "r_max": self.r_max, "d_max": self.d_max}


class LooksAtItsInput(Plain):
    def forward(self, x, mask=None):
        if x.dim() < 2:
            raise ValueError("too few dimensions")
        return super().forward(x, mask)


class AsksForChannelsLast(Plain):
    def normalize(self, x):
        return super().normalize(x.contiguous() if x.is_contiguous(memory_format=torch.channels_last) else x)


class TakesAnyType(Plain):
    def check_input(self, x):
        if x.dim() < 2 or x.shape[self.channel_dim] != self.num_features:
            raise ValueError(f"takes {self.num_features} channels")


class TakesNoIntegersInSilence(Plain):
    def check_input(self, x):
        super().check_input(x) if x.is_floating_point() else self.refuse()

    def refuse(self):
        raise TypeError("a wrong type")


class HasAFloat32Factor(Plain):
    def normalize(self, x):
        return super().normalize(x) * torch.tensor(0.1)


class AveragesInFloat32(Averages):
    """momentum=None is one over the count, in float32."""

    def _move(self, found, counts, *others):
        self.num_batches_tracked.add_(1)
        weight = self.momentum or float(self.num_batches_tracked.reciprocal())
        for (_, buffer), new in zip(self.running_buffers(), self.averaged(found[0], counts[0]).values()):
            buffer.lerp_(new.detach(), weight)


class LeavesItsStatistics(Averages):
    def reset_parameters(self):
        Norm.reset_parameters(self)


class ResetsWithNewTensors(Plain):
    def reset_parameters(self):
        self.weight, self.bias = (nn.Parameter(torch.full_like(self.weight, float(start))) for start in (1, 0))


class KeepsItsBias(Plain):
    def __init__(self, num_features, bias=True, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)


class HasAScalar(Plain):
    parameter_count = "2C+1"
    starts_at = {"weight": 1.0, "bias": 0.0, "gain": 1.0}

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.gain = nn.Parameter(torch.tensor(1.0))

    def normalize(self, x):
        return super().normalize(x) * self.gain


class KeepsAConstantInABuffer(Plain):
    """No state_dict holds it, so that after to_empty() nothing fills it."""

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("scale", torch.ones(num_features, 1, 1), persistent=False)

    def normalize(self, x):
        return super().normalize(x) * self.scale.view(-1, *[1] * (x.dim() - 2))


FAULTS = [
    (RecomputesFromMovedAverages, "inductor", "at step 1: gradient of"),
    (LooksAtItsInput, "fx", "symbolic_trace fails .*create_proxy"),
    (KeepsItsClockInPython, "jit_trace", "traced by torch.jit"),
    (AsksForChannelsLast, "vmap", "querying is_contiguous inside of vmap"),
    (TakesAnyType, "input_types", "torch.int64 in training is not refused"),
    (TakesNoIntegersInSilence, "input_types", "the message does not name torch.int64: a wrong type"),
    (TakesAnyType, "unbatched", "the message does not name its shape: takes 16 channels"),
    (HasAFloat32Factor, "float64", "a float64 layer computes in lower precision: aten.* on torch.float32"),
    (AveragesInFloat32, "float64", "momentum=None after three batches"),
    (LeavesItsStatistics, "reset_parameters", "leaves running_mean, running_var, num_batches_tracked"),
    (ResetsWithNewTensors, "reset_parameters", "replaces tensors that an optimizer may hold"),
    (KeepsItsBias, "no_bias", "bias=False leaves a bias in place"),
    (HasAScalar, "parameter_dimensions", "gain has no dimension"),
    (KeepsAConstantInABuffer, "to_empty", "after to_empty.* its output differs in eval mode"),
]
