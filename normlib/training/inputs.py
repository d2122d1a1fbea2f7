"""The dataset of a spec's data section: made without loading, or loaded once a process onto its device."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from normlib.data import datasets
from normlib.data.dataset import Dataset, Samples, content_hash, load_splits

COMMON_SETTINGS = ("name", "batch_size", "split_seed", "flip", "crop")


def make_dataset(data: Mapping[str, Any]) -> Dataset:
    """The dataset of a data section; loads nothing. Raises ValueError for settings that it refuses."""
    settings = {key: value for key, value in data.items() if key not in COMMON_SETTINGS}
    return datasets[data["name"]].cls(**settings)


def splits_on_device(data: Mapping[str, Any], data_dir: Path, device: torch.device) -> tuple[dict[str, Samples], str]:
    """The three splits on `device`, and the hash of their content. A worker loads each dataset once."""
    what = {key: value for key, value in data.items() if key not in ("batch_size", "flip", "crop")}
    return _load(json.dumps(what, sort_keys=True), data_dir, device, datasets[data["name"]].cls)


@functools.lru_cache(maxsize=4)
def _load(data: str, data_dir: Path, device: torch.device, cls: type) -> tuple[dict[str, Samples], str]:
    """`cls` is the dataset's class, for the cache: an edited dataset is loaded again."""
    section = json.loads(data)
    splits = load_splits(make_dataset(section), section["split_seed"], data_dir)
    return {name: part.to(device) for name, part in splits.items()}, content_hash(splits)
