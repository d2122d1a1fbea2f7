"""Mean and variance of more values than come at once, pooled exactly as they come.

In come inputs of a norm, out go one mean and one variance a channel. This file knows no norm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Pool:
    """The mean and variance of all values of each channel, pooled in float64 from inputs as they come.

    `per_sample`: instead the averages over samples of each sample's mean and unbiased variance.
    """

    def __init__(self, per_sample: bool = False) -> None:
        self.per_sample = per_sample
        self.count = 0  # of values, or of samples
        self.mean = self.deviations = torch.zeros(())  # (C,); sums of squared deviations, or of variances

    @property
    def has_variance(self) -> bool:
        """Whether enough has come for an unbiased variance."""
        return self.count > (0 if self.per_sample else 1)

    @property
    def var(self) -> Tensor:
        """The unbiased variance, as running variances keep it, of each channel."""
        return self.deviations / (self.count if self.per_sample else self.count - 1)

    def add(self, x: Tensor, mask: Tensor | None = None) -> None:
        """Add an input (N, C, *positions), the positions in `mask` (N, *positions) alone if that is given."""
        x = x.detach().to(torch.float32 if x.device.type == "mps" else torch.float64)  # mps has no float64
        if x.numel() == 0:
            return
        if not self.per_sample:
            values = x.movedim(1, -1).flatten(0, -2) if mask is None else x.movedim(1, -1)[mask]  # (values, C)
            if len(values):
                var, mean = torch.var_mean(values, 0, correction=0)
                self._merge(len(values), mean, var * len(values))
            return
        samples = (
            [x.flatten(2)] if mask is None else [x[i : i + 1, :, mask[i]] for i in range(len(x))]
        )  # (N or 1, C, values)
        for part in samples:
            var, mean = torch.var_mean(part, 2)
            self._merge(len(part), mean.mean(0), var.sum(0))

    def gather(self) -> None:
        """Pool with the other processes, where there are any; each has to call this."""
        distributed = torch.distributed
        if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
            return
        parts: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(parts, (self.count, self.mean.cpu(), self.deviations.cpu()))
        device, self.count = self.mean.device, 0
        for count, mean, deviations in parts:
            if count:
                self._merge(count, mean.to(device), deviations.to(device))

    def _merge(self, count: int, mean: Tensor, deviations: Tensor) -> None:
        if not self.count:
            self.count, self.mean, self.deviations = count, mean, deviations
            return
        total = self.count + count
        step = mean - self.mean
        between = 0 if self.per_sample else step.square() * (self.count * count / total)
        self.mean = self.mean + step * (count / total)
        self.deviations = self.deviations + deviations + between
        self.count = total


class DeviationPool(Pool):
    """The averages over batches of each batch's mean and deviation, sqrt(biased variance + eps): what batch renorm's running statistics are.

    `num_groups` says into how many groups a batch of so many samples is split for its statistics.
    """

    def __init__(self, eps: float, num_groups: Callable[[int], int]) -> None:
        super().__init__(per_sample=True)  # averages, of groups instead of samples
        self.eps, self.num_groups = eps, num_groups

    @property
    def var(self) -> Tensor:
        """The variance that with eps gives the average deviation."""
        return super().var.square() - self.eps

    def add(self, x: Tensor, mask: Tensor | None = None) -> None:
        groups = self.num_groups(x.shape[0])
        masks = [None] * groups if mask is None else mask.tensor_split(groups)
        for part, valid in zip(x.tensor_split(groups), masks, strict=True):
            whole = Pool()
            whole.add(part, valid)
            if whole.count:
                self._merge(1, whole.mean, (whole.deviations / whole.count + self.eps).sqrt())
