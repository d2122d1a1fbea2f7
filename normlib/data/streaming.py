"""Splits that stay on disk: map-style datasets that give one sample at a time, checked and standardized like others.

In: a Dataset with `streamed` and `split_seed`. Out: {"train", "validation", "test"} for a DataLoader, and their hash.
This file shuffles nothing and starts no processes: order, batches and workers belong to the training loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as MapStyle
from torch.utils.data import IterableDataset

from normlib.data.dataset import DataError, Dataset, Samples
from normlib.data.splits import CONSTANT, as_trained, check_parts, check_tensors, split_indices

MOMENTS_FROM = 2048  # training samples, evenly spaced, for the mean and deviation per channel
HASHED_ITEMS = 256  # items of each part, evenly spaced, if the dataset has no fingerprint


class StreamedSplit(MapStyle[Any]):
    """A split whose items (input, target) are read when they are asked for.

    Inputs are standardized float32, or token ids. `part` is the map-style dataset behind it. `indices` (size,) are its
    items that belong to the split, in this order.
    """

    def __init__(self, dataset: Dataset, name: str, part: Any, indices: Tensor) -> None:
        self.dataset, self.name, self.part, self.indices = dataset, name, part, indices
        self.mean: Tensor | None = None
        self.deviation: Tensor | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        value, target = read_item(self.dataset, self.name, self.part, int(self.indices[number]))
        if self.mean is not None and self.deviation is not None:
            value = (value - self.mean) / self.deviation
        return value, target

    def examples(self, most: int) -> Samples:
        """At most `most` of the samples, evenly spaced."""
        return stacked(self[number] for number in evenly_spaced(len(self), most))


def open_splits(dataset: Dataset, split_seed: int, data_dir: Path) -> dict[str, StreamedSplit]:
    """The splits of a streamed dataset. Mean and deviation come from 2,048 training samples, evenly spaced, or all.

    Raises DataError for wrong results of `open`. Every item is checked when it is read.
    """
    parts = dataset.open(data_dir)
    check_parts(dataset, parts, "open")
    for part, items in parts.items():
        require_map_style(items, f"{type(dataset).__name__}.open, part {part!r}")
    lengths = {part: len(items) for part, items in parts.items()}
    chosen = split_indices(dataset, lengths, lambda part: _class_numbers(parts[part]), split_seed)
    splits = {
        split: StreamedSplit(dataset, split, parts[part], torch.arange(lengths[part]) if indices is None else indices)
        for split, (part, indices) in chosen.items()
    }
    if dataset.standardize and dataset.vocabulary is None:
        mean, deviation = _moments(splits["train"])
        for each in splits.values():
            each.mean, each.deviation = mean, deviation
    return splits


def streamed_hash(dataset: Dataset, splits: Mapping[str, StreamedSplit], data_dir: Path) -> str:
    """16 hexadecimal digits for the samples, and for which of them are in which split."""
    fingerprint = dataset.fingerprint(data_dir)
    digest = hashlib.sha256((fingerprint or "").encode())
    for name in sorted(splits):
        split = splits[name]
        digest.update(f"{name} {len(split)}".encode())
        digest.update(split.indices.numpy().data)
        for number in () if fingerprint is not None else evenly_spaced(len(split), HASHED_ITEMS):
            for tensor in split[number]:
                digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
                digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def require_map_style(items: Any, where: str) -> None:
    """Refuse data without a length and numbered items. Raises DataError."""
    if isinstance(items, IterableDataset) or not (hasattr(items, "__len__") and hasattr(items, "__getitem__")):
        raise DataError(
            f"{where}: needs a map-style dataset, with __len__ and __getitem__, got {type(items).__name__}; an IterableDataset "
            "has no fixed order of samples, so that two norms could not be shown to see the same batches. Give the samples "
            "numbers, or collect them: list(dataset)"
        )


def read_item(dataset: Dataset, name: str, items: Any, number: int) -> tuple[Tensor, Tensor]:
    """One checked sample: input (*input_shape) and target (...), as float32 or int64. Raises DataError."""
    value, target = as_pair(items[number], f"{type(dataset).__name__}, {name!r}, item {number}")
    check_tensors(dataset, value.unsqueeze(0), target.unsqueeze(0), f"{name}, item {number}")
    if dataset.task == "regression" and target.dim() == 0:
        target = target.unsqueeze(0)  # one target of (num_targets,)
    return as_trained(value), as_trained(target)


def as_pair(item: Any, where: str) -> tuple[Tensor, Tensor]:
    """An item of a map-style dataset as two tensors. Raises DataError for anything else.

    The parts of an item may be tensors, arrays, lists or numbers.
    """
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(
            f"{where}: an item is a pair (input, target), got {type(item).__name__}; return both, inputs as tensors or arrays"
        )
    tensors = []
    for value in item:
        try:
            tensors.append(torch.as_tensor(value))
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{where}: inputs and targets are tensors, arrays or numbers, got {type(value).__name__}; convert it, for images "
                "with transform=torchvision.transforms.ToTensor()"
            ) from error
    return tensors[0], tensors[1]


def stacked(pairs: Iterable[tuple[Tensor, Tensor]]) -> Samples:
    """Pairs (input, target) of one shape as samples."""
    inputs, targets = zip(*pairs, strict=True)
    return Samples(torch.stack(inputs), torch.stack(targets))


def _class_numbers(items: Any) -> Tensor | None:
    """The attribute `targets` of a map-style dataset, if it holds one whole number for each item."""
    targets = getattr(items, "targets", None)
    if targets is None or len(targets) != len(items):
        return None
    try:
        return torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError):
        return None


def _moments(train: StreamedSplit) -> tuple[Tensor, Tensor]:
    """Mean and deviation per channel over some samples, each (C, 1, ...). A constant channel has deviation 1."""
    total = squares = torch.zeros(())
    count = 0
    channels = train.dataset.input_shape[0]
    for number in evenly_spaced(len(train), MOMENTS_FROM):
        values = train[number][0].double().reshape(channels, -1)  # (C, positions)
        total, squares, count = total + values.sum(1), squares + values.square().sum(1), count + values.shape[1]
    mean = total / count  # (C,)
    deviation = ((squares - count * mean.square()) / max(count - 1, 1)).clamp_min(0).sqrt()
    shape = (-1, *[1] * (len(train.dataset.input_shape) - 1))
    return mean.float().view(shape), torch.where(deviation > CONSTANT, deviation, 1.0).float().view(shape)


def evenly_spaced(count: int, most: int) -> list[int]:
    """At most `most` of the numbers below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist()
