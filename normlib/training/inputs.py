"""Makes the dataset and the task of a spec, and loads the data.

Making them loads nothing. Each process loads a dataset once, and checks it. The shape of the networks follows from
dataset and task.
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

EXAMINED = 64  # samples of each split of a streamed dataset that the task checks before training
COMMON_SETTINGS = ("name", "batch_size", "split_seed", "flip", "crop")


@dataclass(frozen=True)
class NetworkShape:
    """The shape of one input, and the number of outputs of the last layer.

    `vocabulary` is the number of tokens if inputs are token ids, and None if they are real numbers.
    """

    input_shape: tuple[int, ...]
    num_outputs: int
    vocabulary: int | None = None

    @classmethod
    def for_task(cls, dataset: Dataset, task: Task) -> NetworkShape:
        return cls(tuple(dataset.input_shape), task.num_outputs(dataset), dataset.vocabulary)

    def example(self, samples: int, device: str = "cpu") -> torch.Tensor:
        """An input of zeros, (samples, *input_shape)."""
        dtype = torch.float32 if self.vocabulary is None else torch.int64
        return torch.zeros(samples, *self.input_shape, dtype=dtype, device=device)


def make_dataset(data: Mapping[str, Any]) -> Dataset:
    """The dataset of a data section. Loads nothing.

    Raises ValueError if the dataset refuses its settings or does not declare its facts.
    """
    settings = {key: value for key, value in data.items() if key not in COMMON_SETTINGS}
    dataset: Dataset = datasets[data["name"]].cls(**settings)
    dataset.check_declaration()
    return dataset


def make_task(task: Mapping[str, Any]) -> Task:
    """The task of a task section. Raises ValueError if it refuses its settings."""
    return tasks[task["name"]].cls(**{key: value for key, value in task.items() if key != "name"})


def splits_on_device(
    data: Mapping[str, Any], task: Mapping[str, Any], data_dir: Path, device: torch.device
) -> tuple[dict[str, Samples], str]:
    """The three splits on `device`, and the hash of their content. Each process loads a dataset once.

    Raises DataError if the samples are not what the dataset declares or the task takes.
    """
    classes = datasets[data["name"]].cls, tasks[task["name"]].cls
    version = make_dataset(data).version
    return _load(json.dumps([without_batches(data), dict(task)], sort_keys=True), version, data_dir, device, classes)


@functools.lru_cache(maxsize=4)
def _load(
    sections: str, version: str, data_dir: Path, device: torch.device, classes: tuple[type, type]
) -> tuple[dict[str, Samples], str]:
    """`version` and `classes` (of dataset and task) are part of the cache's key: edited ones are loaded again."""
    data, task = json.loads(sections)
    dataset, checking = make_dataset(data), make_task(task)
    with global_stream(0, "data"):  # random numbers that a dataset draws are the same in every process
        splits = load_splits(dataset, data["split_seed"], data_dir)
    for split, samples in splits.items():
        checking.check_samples(samples, dataset, split)
    return {name: part.to(device) for name, part in splits.items()}, content_hash(splits)


def streamed_splits(data: Mapping[str, Any], data_dir: Path) -> tuple[dict[str, StreamedSplit], str]:
    """The three splits of a streamed dataset, which stay on disk, and their hash. Each process opens a dataset once."""
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
    """The hash of the data that a data section stands for, as in records.

    Of a streamed dataset, the task checks some samples now and each batch when it is read. Loads the data again, since
    they may have been edited. Raises DataError for samples that the task does not take.
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
