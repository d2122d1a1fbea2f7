"""What a network is fed: batches by sample numbers, from splits that lie on the device or through a loader.

In come splits and sample numbers, out go inputs and targets. The order is decided elsewhere (batches.py).
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

QUEUED_PER_WORKER = 2  # batches that each loader worker has ready; torch's default


class Feed(Protocol):
    """The three splits of a run, as the loop and the evaluation read them."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Samples of each split."""

    def start_epoch(self, epoch: int, batches: Iterable[Tensor]) -> None:
        """Get ready for the batches of an epoch, sample numbers (B,) each, which are then taken in this order."""

    def batch(self, indices: Tensor) -> Samples:
        """The next batch of the epoch, the training samples of these numbers (B,), on the device."""

    def train_inputs(self, indices: Tensor) -> Tensor:
        """Inputs of training samples, (B, ...), at any time."""

    def examples(self) -> Samples:
        """The training split, or evenly spaced samples of one that does not fit in memory: for a task's constants."""

    def parts(self, split: str, batch_size: int) -> Iterator[Samples]:
        """A whole split in parts of at most `batch_size` samples."""


class MemoryFeed:
    """Splits that lie on the device as a whole."""

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
        # Each part is spread over the whole split, so that data sorted by class make no batches of one class.
        for start in range(num_parts):
            yield Samples(samples.inputs[start::num_parts], samples.targets[start::num_parts])


class LoaderFeed:
    """Splits too large for memory, read sample by sample through a DataLoader.

    A sample of an epoch is read under a random stream of its own, seeded from (seed, split, epoch, number). What the dataset
    draws for it (augmentation) is then the same for every norm and any number of `workers`. `check(samples, split)` refuses
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
            # Asked for its first number, a loader without a generator takes one from torch's global state.
            generator=torch.Generator().manual_seed(stream_seed(self.seed, "loader", split, epoch)),
        )
        for inputs, targets in loader:
            self.check(Samples(inputs, targets), split)
            yield Samples(inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True))


class _Seeded(Dataset[Any]):
    """A dataset of which each sample is read under a random stream of its own."""

    def __init__(self, dataset: Dataset[Any], *stream: Any) -> None:
        self.dataset, self.stream = dataset, stream

    def __getitem__(self, number: int) -> Any:
        seed, *names = self.stream
        with global_stream(seed, "sample", *names, number):
            return self.dataset[number]
