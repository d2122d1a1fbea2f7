"""The base class of datasets: facts about samples that are known without loading them, and a way to load or open them.

Splitting, standardizing and hashing are in splits.py. Data that stay on disk are in streaming.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normlib.errors import NormlibError

SPLITS = ("train", "validation", "test")
EXAMPLES = {"input_shape": "(3, 32, 32)", "sizes": '{"train": 800, "validation": 100, "test": 100}', "version": '"1"'}
"""For each fact that every dataset declares, an example of how it is written."""


class DataError(NormlibError, ValueError):
    """Data that cannot be loaded or used. The message says what is wrong and how to correct it."""


@dataclass(frozen=True)
class Samples:
    """Inputs (n, *input_shape), floats or token ids, and targets (n, ...), whose type and shape the task prescribes.

    Classification: int64 (n,). Segmentation: int64 (n, *positions). Regression: float (n, num_targets).
    Language modeling: int64 (n, T), the next tokens.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Samples:
        return Samples(self.inputs.to(device), self.targets.to(device))


class Dataset:
    """One dataset. The arguments of its constructor are its settings. It loads nothing before `load` or `open` is
    called.

    A subclass sets these, as class attributes or in its constructor: `input_shape` of one sample; `sizes`, the number
    of samples of "train", "validation" and "test"; and `version`. That is a text that changes whenever the data do,
    because it is part of every run's id.

    `task`: the task that the data are for. `num_classes` (classification and segmentation), `num_targets` (regression).
    `vocabulary`: inputs are token ids from 0 to below it. `characters_per_token`: for bits per character; None if not
    known. `standardize`: float inputs get mean 0 and deviation 1 on the training split, per channel (dimension 1).
    `fixed`: the data come with a package and are known to be good; others are loaded and checked before anything is
    trained. `streamed`: `open` gives map-style datasets that are read sample by sample, by `workers` processes (0: this
    one).
    """

    input_shape: tuple[int, ...]
    sizes: Mapping[str, int]
    version: str
    task: str = "classification"
    num_classes: int | None = None
    num_targets: int | None = None
    vocabulary: int | None = None
    characters_per_token: float | None = None
    standardize: bool = True
    fixed: bool = False
    streamed: bool = False
    workers: int = 0

    def prepare(self, data_dir: Path) -> None:
        """Fetch or compute what is missing, once before any worker starts. Raises DataError if that is not possible."""

    def load(self, data_dir: Path) -> Mapping[str, Samples]:
        """All samples: {"all"} to be cut into three splits, {"train", "test"}, or {"train", "validation", "test"}.

        Without "validation", it is cut from "train". A split that is given whole keeps its order. Raises DataError.
        """
        raise DataError(f"{type(self).__name__} has no method load, which gives the samples")

    def open(self, data_dir: Path) -> Mapping[str, Any]:
        """Like `load`, but map-style datasets with items (input, target), read from disk one by one (`streamed`).

        A dataset with an attribute `targets`, the class numbers of all its items, is split by class without being read.
        """
        raise DataError(
            f"{type(self).__name__} is streamed, but has no method open, which gives the map-style datasets"
        )

    def fingerprint(self, data_dir: Path) -> str | None:
        """A hash of everything that `open` reads. If it is None, normlib hashes 256 items of each part instead."""
        return None

    def check_declaration(self) -> None:
        """Refuse a dataset that does not declare what normlib needs before loading anything. Raises DataError."""
        name = type(self).__name__
        for fact, example in EXAMPLES.items():
            if not hasattr(self, fact):
                raise DataError(
                    f"a dataset declares {', '.join(EXAMPLES)}, but {name} has no {fact}: set {fact} = {example} in the class "
                    "or in its constructor"
                )
        shape, sizes, version = self.input_shape, self.sizes, self.version
        if not isinstance(shape, tuple | list) or not shape or not all(_is_count(side) for side in shape):
            raise DataError(
                f"{name}: input_shape is the shape of one sample, positive whole numbers as in {EXAMPLES['input_shape']}, got {shape!r}"
            )
        if not isinstance(sizes, Mapping) or set(sizes) != set(SPLITS) or not all(map(_is_count, sizes.values())):
            raise DataError(
                f"{name}: sizes gives the number of samples, at least 1, of train, validation and test, got {sizes!r}"
            )
        if not isinstance(version, str) or not version:
            raise DataError(f"{name}: version is a text that changes whenever the data do, got {version!r}")
        for fact in ("num_classes", "num_targets", "vocabulary"):
            value = getattr(self, fact)
            if value is not None and not _is_count(value):
                raise DataError(f"{name}: {fact} is a positive whole number or None, got {value!r}")
        method = "open" if self.streamed else "load"
        if getattr(type(self), method) is getattr(Dataset, method):
            raise DataError(
                f"{name} has no method {method}, which gives the samples: def {method}(self, data_dir): "
                'return {"train": ..., "test": ...}'
            )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
