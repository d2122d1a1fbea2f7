"""The dataset and the task of a spec: made without loading, or loaded once a process onto a device and checked.

The shape of the networks for them follows from both.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from normlib.data import datasets
from normlib.data.dataset import Dataset, Samples
from normlib.data.splits import content_hash, load_splits
from normlib.data.streaming import StreamedSplit, open_splits, streamed_hash
from normlib.tasks import tasks
from normlib.tasks.task import Task
from normlib.training.seeding import global_stream

EXAMINED = 64  # samples of each split of a streamed dataset that are shown to the task before training
COMMON_SETTINGS = ("name", "batch_size", "split_seed", "flip", "crop")


@dataclass(frozen=True)
class NetworkShape:
    """What a network takes in and gives out: the shape of one input, the outputs of its last layer, the number of tokens.

    `vocabulary` is None where inputs are real numbers; else they are token ids.
    """

    input_shape: tuple[int, ...]
    num_outputs: int
    vocabulary: int | None = None

    @classmethod
    def for_task(cls, dataset: Dataset, task: Task) -> NetworkShape:
        """The shape for a task on a dataset."""
        return cls(tuple(dataset.input_shape), task.num_outputs(dataset), dataset.vocabulary)

    def example(self, samples: int, device: str = "cpu") -> torch.Tensor:
        """An input of zeros, (samples, *input_shape)."""
        dtype = torch.float32 if self.vocabulary is None else torch.int64
        return torch.zeros(samples, *self.input_shape, dtype=dtype, device=device)


def make_dataset(data: Mapping[str, Any]) -> Dataset:
    """The dataset of a data section; loads nothing. Raises ValueError for settings that it refuses, or without its facts."""
    settings = {key: value for key, value in data.items() if key not in COMMON_SETTINGS}
    dataset: Dataset = datasets[data["name"]].cls(**settings)
    dataset.check_declaration()
    return dataset


def make_task(task: Mapping[str, Any]) -> Task:
    """The task of a task section. Raises ValueError for settings that it refuses."""
    return tasks[task["name"]].cls(**{key: value for key, value in task.items() if key != "name"})


def splits_on_device(
    data: Mapping[str, Any], task: Mapping[str, Any], data_dir: Path, device: torch.device
) -> tuple[dict[str, Samples], str]:
    """The three splits on `device`, and the hash of their content. A worker loads each dataset once.

    DataError where the samples are not what the dataset declares or the task takes.
    """
    classes = datasets[data["name"]].cls, tasks[task["name"]].cls
    version = make_dataset(data).version
    return _load(json.dumps([without_batches(data), dict(task)], sort_keys=True), version, data_dir, device, classes)


@functools.lru_cache(maxsize=4)
def _load(
    sections: str, version: str, data_dir: Path, device: torch.device, classes: tuple[type, type]
) -> tuple[dict[str, Samples], str]:
    """`version` and `classes` of dataset and task are there for the cache: edited ones are loaded again."""
    data, task = json.loads(sections)
    dataset, checking = make_dataset(data), make_task(task)
    with global_stream(0, "data"):  # what a dataset draws from global states is the same in every process
        splits = load_splits(dataset, data["split_seed"], data_dir)
    for split, samples in splits.items():
        checking.check_samples(samples, dataset, split)
    return {name: part.to(device) for name, part in splits.items()}, content_hash(splits)


def streamed_splits(data: Mapping[str, Any], data_dir: Path) -> tuple[dict[str, StreamedSplit], str]:
    """The three splits of a streamed dataset, which stay on disk, and their hash. A process opens each dataset once."""
    version, cls = make_dataset(data).version, datasets[data["name"]].cls
    return _open(json.dumps(without_batches(data), sort_keys=True), version, data_dir, cls)


@functools.lru_cache(maxsize=4)
def _open(data: str, version: str, data_dir: Path, cls: type) -> tuple[dict[str, StreamedSplit], str]:
    section = json.loads(data)
    dataset = make_dataset(section)
    with global_stream(0, "data"):
        splits = open_splits(dataset, section["split_seed"], data_dir)
        return splits, streamed_hash(dataset, splits, data_dir)


def checked_hash(data: Mapping[str, Any], task: Mapping[str, Any], data_dir: Path) -> str:
    """The hash of what a data section stands for, as records hold it. DataError for samples that the task does not take.

    Of a streamed dataset, the task looks at some samples now, and at each batch when it is read. What was loaded earlier is
    forgotten: it may have been edited since.
    """
    _load.cache_clear()
    _open.cache_clear()
    dataset = make_dataset(data)
    if not dataset.streamed:
        return splits_on_device(data, task, data_dir, torch.device("cpu"))[1]
    splits, content = streamed_splits(data, data_dir)
    with global_stream(0, "data"):
        for name, split in splits.items():
            make_task(task).check_samples(split.examples(EXAMINED), dataset, name)
    return content


def without_batches(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a data section that say which samples there are."""
    return {key: value for key, value in data.items() if key not in ("batch_size", "flip", "crop")}
