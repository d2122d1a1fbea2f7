"""The dataset and the task of a spec: made without loading, or loaded once a process onto a device and checked."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from normlib.data import datasets
from normlib.data.dataset import Dataset, Samples, content_hash, load_splits
from normlib.tasks import tasks
from normlib.tasks.task import Task

COMMON_SETTINGS = ("name", "batch_size", "split_seed", "flip", "crop")


def make_dataset(data: Mapping[str, Any]) -> Dataset:
    """The dataset of a data section; loads nothing. Raises ValueError for settings that it refuses."""
    settings = {key: value for key, value in data.items() if key not in COMMON_SETTINGS}
    return datasets[data["name"]].cls(**settings)


def make_task(task: Mapping[str, Any]) -> Task:
    """The task of a task section. Raises ValueError for settings that it refuses."""
    return tasks[task["name"]].cls(**{key: value for key, value in task.items() if key != "name"})


def splits_on_device(
    data: Mapping[str, Any], task: Mapping[str, Any], data_dir: Path, device: torch.device
) -> tuple[dict[str, Samples], str]:
    """The three splits on `device`, and the hash of their content. A worker loads each dataset once.

    DataError where the samples are not what the dataset declares or the task takes.
    """
    what = {key: value for key, value in data.items() if key not in ("batch_size", "flip", "crop")}
    classes = datasets[data["name"]].cls, tasks[task["name"]].cls
    return _load(json.dumps([what, dict(task)], sort_keys=True), data_dir, device, classes)


@functools.lru_cache(maxsize=4)
def _load(
    sections: str, data_dir: Path, device: torch.device, classes: tuple[type, type]
) -> tuple[dict[str, Samples], str]:
    """`classes` are those of dataset and task, for the cache: an edited one is loaded again."""
    data, task = json.loads(sections)
    dataset, checking = make_dataset(data), make_task(task)
    splits = load_splits(dataset, data["split_seed"], data_dir)
    for split, samples in splits.items():
        checking.check_samples(samples, dataset, split)
    return {name: part.to(device) for name, part in splits.items()}, content_hash(splits)
