"""The data loaders of a user's LightningModule or DataModule, with seeded orders and hashes of the batches really fed.

In: a module whose hooks return loaders. Out: the same hooks, whose loaders draw from their own random streams. So no
norm can shift an order or an augmentation. Batches pass through unchanged.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from normlib.training.seeding import Stream

HOOKS = {"train_dataloader": "train", "val_dataloader": "validation", "test_dataloader": "test"}


class SeededLoader:
    """A loader that draws each epoch's order, workers and augmentation from a stream seeded from (seed, name, epoch).

    `digests`: by epoch, 16 hexadecimal digits for the content of the batches fed so far.
    """

    def __init__(self, loader: Any, seed: int, name: str, epoch: Callable[[], int], digests: dict[int, str]) -> None:
        self.loader, self.seed, self.name, self.epoch, self.digests = loader, seed, name, epoch, digests

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch()
        stream = Stream(self.seed, "loader", self.name, epoch)
        content = hashlib.sha256()
        self.digests.pop(epoch, None)
        with stream:
            batches = iter(self.loader)
        while True:
            with stream:
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            hash_batch(content, batch)
            self.digests[epoch] = content.hexdigest()[:16]
            yield batch

    def __getattr__(self, name: str) -> Any:
        """Whatever else Lightning or the user's code reads from a loader, such as its batch size."""
        if name == "loader":  # while the object is being unpickled
            raise AttributeError(name)
        return getattr(self.loader, name)


def seed_loaders(source: Any, seed: int, epoch: Callable[[], int]) -> dict[str, dict[str, dict[int, str]]]:
    """Make the loaders that `source` returns from now on draw from streams. Returns digests by split, loader and epoch.

    `source` is a LightningModule or a LightningDataModule. `epoch` returns the number of the present epoch.
    """
    digests: dict[str, dict[str, dict[int, str]]] = {split: {} for split in HOOKS.values()}
    for hook, split in HOOKS.items():
        original = getattr(source, hook)

        @functools.wraps(original)
        def seeded(original: Any = original, split: str = split) -> Any:
            return _seeded(original(), seed, split, epoch if split == "train" else lambda: 0, digests[split])

        setattr(source, hook, seeded)
    return digests


def _seeded(loaders: Any, seed: int, name: str, epoch: Callable[[], int], digests: dict[str, dict[int, str]]) -> Any:
    """The loaders (one, or several in mappings and lists), each seeded under its own name."""
    if loaders is None or isinstance(loaders, SeededLoader):
        return loaders
    if isinstance(loaders, Mapping):
        return {key: _seeded(each, seed, f"{name}.{key}", epoch, digests) for key, each in loaders.items()}
    if isinstance(loaders, list | tuple):
        return [_seeded(each, seed, f"{name}.{number}", epoch, digests) for number, each in enumerate(loaders)]
    if hasattr(loaders, "flattened"):  # Lightning's CombinedLoader
        named = enumerate(loaders.flattened)
        loaders.flattened = [_seeded(each, seed, f"{name}.{number}", epoch, digests) for number, each in named]
        return loaders
    return SeededLoader(loaders, seed, name, epoch, digests.setdefault(name, {}))


def combine_digests(digests: Mapping[str, Mapping[int, str]], epoch: int) -> str | None:
    """The digest of one epoch over all loaders of a split. None if none was read."""
    parts = sorted((name, by_epoch[epoch]) for name, by_epoch in digests.items() if epoch in by_epoch)
    if not parts:
        return None
    return parts[0][1] if len(parts) == 1 else hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def hash_batch(content: Any, batch: Any) -> None:
    """Add a batch to a hash: types, shapes and bytes of its tensors, in any container."""
    if isinstance(batch, torch.Tensor):
        content.update(f"{batch.dtype}{tuple(batch.shape)}".encode())
        content.update(batch.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(batch, Mapping):
        for key in batch:
            content.update(str(key).encode())
            hash_batch(content, batch[key])
    elif isinstance(batch, Sequence) and not isinstance(batch, str | bytes):
        for each in batch:
            hash_batch(content, each)
    else:
        content.update(pickle.dumps(batch, protocol=5))


def samples_of(batch: Any) -> int:
    """The number of samples of a batch: the length of its first tensor, or 0 without one."""
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.dim() else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    return next((count for part in parts if (count := samples_of(part))), 0)
