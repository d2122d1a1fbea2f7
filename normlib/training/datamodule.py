"""The LightningDataModule: the splits on the device, and chunks of sample numbers instead of loader workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from normlib.training.batches import BatchPlan, Chunk, EpochChunks
from normlib.training.inputs import splits_on_device


class SplitData(pl.LightningDataModule):
    """The splits of one dataset, whole on the device; training steps come as chunks of sample numbers."""

    def __init__(
        self, data: Mapping[str, Any], plan: BatchPlan, data_dir: Path, device: torch.device, steps_per_chunk: int
    ) -> None:
        super().__init__()
        self.splits, self.data_hash = splits_on_device(data, data_dir, device)
        self.plan = plan
        self.steps_per_chunk = steps_per_chunk

    def train_dataloader(self) -> _Epochs:
        return _Epochs(self)

    def transfer_batch_to_device(self, batch: Chunk, device: torch.device, dataloader_idx: int) -> Chunk:
        return batch  # the module moves what it needs, after hashing what was fed


class _Epochs:
    """Iterated once an epoch by Lightning: the chunks of the trainer's current epoch."""

    def __init__(self, data: SplitData) -> None:
        self.data = data

    def _current(self) -> EpochChunks:
        epoch = self.data.trainer.current_epoch if self.data.trainer is not None else 0
        return EpochChunks(self.data.plan, epoch, self.data.steps_per_chunk)

    def __len__(self) -> int:
        return -(-self.data.plan.steps_per_epoch // self.data.steps_per_chunk)

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._current())
