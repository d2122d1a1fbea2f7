"""Norms with a fault in shapes and memory formats; each with the check of the contract that has to catch it, and words of the message."""

from __future__ import annotations

import torch

from normlib.norms.base import Norm
from normlib.norms.batch import BatchNorm
from normlib.norms.group import GroupNorm
from tests.testing.right_norms import Centres, OnWeights, Plain, axes_of_a_sample, standardize


class SqueezesOnePosition(Plain):
    def forward(self, x, mask=None):
        return super().forward(x, mask).squeeze(-1).flatten(1)


class TakesAnyWidth(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.weight = self.bias = None

    def check_input(self, x):
        pass


class ActivatesAlways(Plain):
    slot = "site"


class CentresImages(Centres):
    def forward(self, weight):
        return weight - weight.mean((1, 2, 3), keepdim=True)


class FitsConvolutionsOverImages(OnWeights):
    function = CentresImages


class IgnoresWhereTheChannelsAre(Plain):
    def forward(self, x, mask=None):
        return standardize(x, [2] if x.dim() > 2 else [1], self.eps)


class ReadsAValue(Plain):
    def normalize(self, x):
        return super().normalize(x) if float(x.detach().abs().max()) > 0 else x


class CountsEmptyBatches(BatchNorm):
    def forward(self, x, mask=None):
        if self._moves():
            self.num_batches_tracked.add_(1)
        return super().forward(x, mask)


class ReturnsZeroForOneValue(GroupNorm):
    def require_several_values(self, count, x, over, fix, outcome=""):
        pass


class DividesANumberByItself(Norm):
    def normalize(self, x):
        return x / (x.square().mean(axes_of_a_sample(x), keepdim=True) + self.eps).sqrt()


class DropsTheMemoryFormat(Plain):
    def forward(self, x, mask=None):
        return super().forward(x, mask).contiguous()


class AddsUpInTheOrderOfMemory(Plain):
    """Pairs what lies side by side in memory, whatever that is."""

    def normalize(self, x):
        axes = [1] if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) else axes_of_a_sample(x)
        return standardize(x, axes, self.eps)


FAULTS = [
    (SqueezesOnePosition, "shapes", "became"),
    (TakesAnyWidth, "shapes", "is accepted by a norm for 16 channels"),
    (ActivatesAlways, "shapes", "unexpected keyword argument 'activate'"),
    (FitsConvolutionsOverImages, "network", "Dimension out of range"),
    (IgnoresWhereTheChannelsAre, "channels_last", "channel_dim=-1 against channel_dim=1"),
    (ReadsAValue, "meta", "cannot be called on meta tensors"),
    (CountsEmptyBatches, "empty", "an empty batch changes the state"),
    (ReturnsZeroForOneValue, "degenerate", "comes out as zero"),
    (DividesANumberByItself, "one_number", "a statistic of one value"),
    (DropsTheMemoryFormat, "memory_formats", "channels_last strides"),
    (AddsUpInTheOrderOfMemory, "memory_formats", "channels_last against contiguous"),
]
