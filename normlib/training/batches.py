"""The order of the training samples and their augmentation, as pure functions of (seed, epoch). No norm changes them.

Optimizer steps are handed over in chunks of several. Their number changes the speed only.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from normlib.training.seeding import generator


class Chunk(NamedTuple):
    """Consecutive steps of one epoch: sample numbers (k, B), and flips (k, B) and shifts (k, B, 2) if asked for."""

    indices: Tensor
    flips: Tensor | None
    shifts: Tensor | None

    def to(self, device: torch.device) -> Chunk:
        return Chunk(
            self.indices.to(device),
            None if self.flips is None else self.flips.to(device),
            None if self.shifts is None else self.shifts.to(device),
        )

    def steps(self) -> Iterator[Chunk]:
        """The steps one by one: sample numbers (B,), flips (B,), shifts (B, 2)."""
        return map(Chunk, *(part if part is not None else itertools.repeat(None) for part in self))

    def split(self, batch_size: int) -> Iterator[Chunk]:
        """One step in parts of `batch_size` samples, for gradient accumulation."""
        parts = (part.split(batch_size) if part is not None else itertools.repeat(None) for part in self)
        return map(Chunk, *parts)


@dataclass(frozen=True)
class BatchPlan:
    """The batches of a run: `total_steps` of `batch_size` samples. Each epoch drops an incomplete last batch."""

    seed: int
    num_train: int
    batch_size: int
    total_steps: int
    flip: bool = False
    crop: int = 0

    @property
    def steps_per_epoch(self) -> int:
        return self.num_train // self.batch_size

    @property
    def num_epochs(self) -> int:
        return -(-self.total_steps // self.steps_per_epoch)

    def epoch(self, epoch: int) -> Chunk:
        """All steps of one epoch. The last epoch ends with the budget."""
        steps = min(self.steps_per_epoch, self.total_steps - epoch * self.steps_per_epoch)
        order = torch.randperm(self.num_train, generator=generator(self.seed, "order", epoch))
        indices = order[: steps * self.batch_size].view(steps, self.batch_size)
        source = generator(self.seed, "augmentation", epoch)
        flips = torch.rand(indices.shape, generator=source) < 0.5 if self.flip else None
        shifts = torch.randint(2 * self.crop + 1, (*indices.shape, 2), generator=source) if self.crop else None
        return Chunk(indices, flips, shifts)


class EpochChunks(Sequence[Chunk]):
    """One epoch of a plan, cut into chunks of at most `steps_per_chunk` optimizer steps."""

    def __init__(self, plan: BatchPlan, epoch: int, steps_per_chunk: int) -> None:
        whole = plan.epoch(epoch)
        self.chunks = list(zip(*(_split(part, len(whole.indices), steps_per_chunk) for part in whole), strict=True))

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, number: int) -> Chunk:  # type: ignore[override]
        return Chunk(*self.chunks[number])

    def __iter__(self) -> Iterator[Chunk]:
        return (Chunk(*parts) for parts in self.chunks)


class BatchHasher:
    """Hashes the batches really fed, one digest per epoch. How the steps were chunked does not matter."""

    def __init__(self) -> None:
        self._epochs: list[hashlib._Hash] = []

    def start_epoch(self) -> None:
        self._epochs.append(hashlib.sha256())

    def feed(self, step: Chunk) -> None:
        """Add one step: its sample numbers (B,), flips (B,) and shifts (B, 2), on the CPU."""
        for part in step:
            if part is not None:
                self._epochs[-1].update(part.numpy().tobytes())

    def digests(self, stopped_early: bool) -> list[str]:
        """16 hexadecimal digits for each epoch that was fed to its end. The last one ends with the budget."""
        epochs = self._epochs[:-1] if stopped_early else self._epochs
        return [epoch.hexdigest()[:16] for epoch in epochs]


def augment(inputs: Tensor, flips: Tensor | None, shifts: Tensor | None, crop: int, fill: int = 0) -> Tensor:
    """Flip images (B, C, H, W) left to right where `flips` is true, and crop each at its shift.

    Before the crop, `crop` pixels of `fill` are added on each side.
    """
    if flips is not None:
        inputs = torch.where(flips.view(-1, 1, 1, 1), inputs.flip(-1), inputs)
    if shifts is not None:
        height, width = inputs.shape[2:]
        padded = F.pad(inputs, (crop,) * 4, value=fill)
        sample = torch.arange(len(inputs), device=inputs.device).view(-1, 1, 1)
        row = shifts[:, 0].view(-1, 1, 1) + torch.arange(height, device=inputs.device).view(1, -1, 1)
        column = shifts[:, 1].view(-1, 1, 1) + torch.arange(width, device=inputs.device).view(1, 1, -1)
        inputs = padded[sample, :, row, column].permute(0, 3, 1, 2).contiguous()  # (B, H, W, C) -> (B, C, H, W)
    return inputs


def _split(part: Tensor | None, steps: int, steps_per_chunk: int) -> Sequence[Tensor | None]:
    if part is None:
        return [None] * -(-steps // steps_per_chunk)
    return part.split(steps_per_chunk)
