"""The LightningDataModule: the splits on the device, and chunks of sample numbers instead of loader workers."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from normlib.data import datasets
from normlib.data.dataset import Dataset, Samples, content_hash, load_splits
from normlib.training.batches import BatchPlan, Chunk, EpochChunks

COMMON_SETTINGS = ("batch_size", "split_seed", "flip", "crop")


def make_dataset(data: Mapping[str, Any]) -> Dataset:
    """The dataset of a spec's data section; loads nothing. Raises ValueError for settings that it refuses."""
    settings = {key: value for key, value in data.items() if key != "name" and key not in COMMON_SETTINGS}
    return datasets[data["name"]].cls(**settings)


class SplitData(pl.LightningDataModule):
    """The splits of one dataset, whole on the device; training steps come as chunks of sample numbers."""

    def __init__(
        self, data: Mapping[str, Any], plan: BatchPlan, data_dir: Path, device: torch.device, steps_per_chunk: int
    ) -> None:
        super().__init__()
        self.splits, self.data_hash = _splits_on_device(json.dumps(data, sort_keys=True), data_dir, device)
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


@functools.lru_cache(maxsize=4)
def _splits_on_device(data: str, data_dir: Path, device: torch.device) -> tuple[dict[str, Samples], str]:
    """The splits of a data section (as JSON) and their hash; kept, so that a worker loads each dataset once."""
    section = json.loads(data)
    splits = load_splits(make_dataset(section), section["split_seed"], data_dir)
    return {name: part.to(device) for name, part in splits.items()}, content_hash(splits)
