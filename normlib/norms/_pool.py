"""Pools the statistics of more values than come at once. The norm that measures them merges them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from normlib.norms.batch import BatchNorm
from normlib.norms.instance import InstanceNorm
from normlib.norms.kernels.synchronized import several_processes
from normlib.norms.plain import PlainNorm
from normlib.norms.running import RunningNorm, Statistics


class Pool:
    """The statistics of all inputs of one norm, merged as the inputs come."""

    def __init__(self, norm: nn.Module) -> None:
        self.norm = measuring_norm(norm)
        self.statistics: Statistics = {}
        self.weight = 0  # values, or batches or samples where these are averaged
        self.least = 0 if self.norm.averages_batches else 1  # one value has no unbiased variance

    def add(self, x: Tensor, mask: Tensor | None) -> None:
        """Add an input (N, C, *positions). With `mask` (N, *positions), only the positions where it is True count."""
        x = x.to(torch.float32 if x.device.type == "mps" else torch.float64)  # mps has no float64
        valid = None if mask is None else mask.unsqueeze(1)
        x = x if valid is None else x.masked_fill(~valid, 0)
        if x.numel() == 0:
            return
        groups = self.norm.num_groups_of_samples(x.shape[0]) if self.norm.averages_batches else 1
        valids = [None] * groups if valid is None else valid.tensor_split(groups)
        for part, inside in zip(x.tensor_split(groups), valids, strict=True):
            statistics, count = self.norm.measure_part(part, inside)
            if self.norm.averages_batches:
                count = torch.as_tensor(count)
                self.merge(self.norm.averaged(statistics, count), int((count > 1).sum()))
            else:
                self.merge(statistics, int(count))

    def gather(self) -> None:
        """Merge with the other processes, if there are any. Each process has to call this."""
        if not several_processes():
            return
        parts: list[Any] = [None] * torch.distributed.get_world_size()
        local = {name: value.cpu() for name, value in self.statistics.items()}
        torch.distributed.all_gather_object(parts, (self.weight, local))
        devices = {name: value.device for name, value in self.statistics.items()}
        self.weight = 0
        for weight, statistics in parts:
            self.merge({name: value.to(devices.get(name)) for name, value in statistics.items()}, weight)

    def merge(self, statistics: Statistics, weight: int) -> None:
        """Merge the statistics of a further part, which has this weight, into those so far."""
        if not weight:
            return
        if not self.weight:
            self.statistics, self.weight = statistics, weight
            return
        share = weight / (self.weight + weight)
        if self.norm.averages_batches:
            self.statistics = RunningNorm.combine(self.norm, self.statistics, statistics, share)
        else:
            self.statistics = self.norm.combine(self.statistics, statistics, share)
        self.weight += weight

    def buffers(self) -> dict[str, Tensor]:
        """The values of the running buffers for these statistics, by name."""
        averages = self.norm.averages_batches
        values = self.statistics if averages else self.norm.averaged(self.statistics, self.weight)
        return {name: values[name.removeprefix("running_")] for name, _ in self.norm.running_buffers()}


def measuring_norm(norm: nn.Module) -> RunningNorm:
    """`norm`, or a norm of normlib that measures what torch's norm does.

    Raises ValueError for a plain module with running buffers, since it does not say what they average.
    """
    if isinstance(norm, RunningNorm):
        return norm
    if isinstance(norm, PlainNorm):
        raise ValueError(
            f"{type(norm).__name__} is a plain module. normlib does not know what its {', '.join(norm.traits.moving)} averages, so "
            "it cannot be recomputed: derive the norm from normlib.RunningNorm, which says what it measures, or freeze it first"
        )
    assert isinstance(norm, _BatchNorm | _InstanceNorm)
    if isinstance(norm, _InstanceNorm):
        return InstanceNorm(norm.num_features, affine=False, track_running_stats=True)
    return BatchNorm(norm.num_features, affine=False)
