"""Feeds a network with batches by sample numbers, from splits on the device or through a loader.

In: splits and sample numbers. Out: inputs and targets. The order comes from batches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from normlib.data.dataset import Samples
from normlib.data.streaming import MOMENTS_FROM, evenly_spaced
from normlib.training.seeding import global_stream, stream_seed

QUEUED_PER_WORKER = 2  # batches that each loader worker prepares; torch's default


class Feed(Protocol):
    """The three splits of a run, as the loop and the evaluation read them."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Samples of each split."""

    def start_epoch(self, epoch: int, batches: Iterable[Tensor]) -> None:
        """Prepare for an epoch. `batches` are sample numbers (B,), in the order in which they are read."""

    def batch(self, indices: Tensor) -> Samples:
        """The next batch of the epoch, on the device: the training samples with these numbers (B,)."""

    def train_inputs(self, indices: Tensor) -> Tensor:
        """Inputs (B, ...) of training samples. May be called at any time."""

    def examples(self) -> Samples:
        """Samples for a task's constants: the training split, or evenly spaced ones if it does not fit in memory."""

    def parts(self, split: str, batch_size: int) -> Iterator[Samples]:
        """A whole split in parts of at most `batch_size` samples."""


class MemoryFeed:
    """Splits that are on the device as a whole."""

    def __init__(self, splits: Mapping[str, Samples]) -> None:
        self.splits = splits
        self.sizes: Mapping[str, int] = {name: len(samples) for name, samples in splits.items()}
        self._train = splits["train"]

    def start_epoch(self, epoch: int, batches: Iterable[Tensor]) -> None:
        pass

    def batch(self, indices: Tensor) -> Samples:
        return Samples(self._train.inputs[indices], self._train.targets[indices])

    def train_inputs(self, indices: Tensor) -> Tensor:
        return self._train.inputs[indices.to(self._train.inputs.device)]

    def examples(self) -> Samples:
        return self._train

    def parts(self, split: str, batch_size: int) -> Iterator[Samples]:
        samples = self.splits[split]
        num_parts = -(-len(samples) // batch_size)
        # Each part is spread over the whole split, so data sorted by class do not make batches of one class.
        for start in range(num_parts):
            yield Samples(samples.inputs[start::num_parts], samples.targets[start::num_parts])


class LoaderFeed:
    """Splits too large for memory, read sample by sample through a DataLoader.

    Each sample of an epoch is read under its own random stream, seeded from (seed, split, epoch, number). So
    augmentation in the dataset is the same for every norm and any number of `workers`. `check(samples, split)` refuses
    batches that the task does not take.
    """

    def __init__(
        self,
        splits: Mapping[str, Dataset[Any]],
        seed: int,
        device: torch.device,
        workers: int,
        check: Callable[[Samples, str], None],
    ) -> None:
        self.splits, self.check = splits, check
        self.sizes: Mapping[str, int] = {name: len(split) for name, split in splits.items()}  # type: ignore[arg-type]
        self.seed, self.device, self.workers = seed, device, workers
        self._batches: Iterator[Any] = iter(())

    def start_epoch(self, epoch: int, batches: Iterable[Tensor]) -> None:
        self._batches = self._read("train", epoch, [batch.tolist() for batch in batches])

    def batch(self, indices: Tensor) -> Samples:
        return next(self._batches)

    def train_inputs(self, indices: Tensor) -> Tensor:
        return next(self._read("train", "statistics", [indices.tolist()])).inputs

    def examples(self) -> Samples:
        return next(self._read("train", "examples", [evenly_spaced(self.sizes["train"], MOMENTS_FROM)]))

    def parts(self, split: str, batch_size: int) -> Iterator[Samples]:
        num_parts = -(-self.sizes[split] // batch_size)
        numbers = range(self.sizes[split])
        return self._read(split, "evaluation", [list(numbers[start::num_parts]) for start in range(num_parts)])

    def _read(self, split: str, epoch: object, batches: list[list[int]]) -> Iterator[Samples]:
        loader = DataLoader(
            _Seeded(self.splits[split], self.seed, split, epoch),
            batch_sampler=batches,
            num_workers=self.workers if len(batches) > 1 else 0,
            prefetch_factor=QUEUED_PER_WORKER if self.workers and len(batches) > 1 else None,
            pin_memory=self.device.type == "cuda",
            # Without a generator, a loader takes its seed from torch's global state.
            generator=torch.Generator().manual_seed(stream_seed(self.seed, "loader", split, epoch)),
        )
        for inputs, targets in loader:
            self.check(Samples(inputs, targets), split)
            yield Samples(inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True))


class _Seeded(Dataset[Any]):
    """A dataset that reads each sample under its own random stream."""

    def __init__(self, dataset: Dataset[Any], *stream: Any) -> None:
        self.dataset, self.stream = dataset, stream

    def __getitem__(self, number: int) -> Any:
        seed, *names = self.stream
        with global_stream(seed, "sample", *names, number):
            return self.dataset[number]
