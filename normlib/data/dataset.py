"""What a dataset is: labelled samples in memory, a version, and fixed, stratified splits."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from normlib.errors import NormlibError


class DataError(NormlibError, ValueError):
    """Data that cannot be had or cannot be used; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Samples:
    """Inputs (n, *input_shape), real numbers or int64 token ids, and targets (n, ...), as the task of the data takes them."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Samples:
        return Samples(self.inputs.to(device), self.targets.to(device))


class Dataset(abc.ABC):
    """One dataset. Its constructor's arguments are its settings; it loads nothing before `load` is called.

    `input_shape` and `num_classes` describe it, `sizes` gives the number of samples of the splits "train",
    "validation" and "test", and `version` changes whenever the data do: it enters every run's id.
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

    def prepare(self, data_dir: Path) -> None:  # noqa: B027 - most data need no preparation
        """Fetch what is missing, once before any worker starts. Raises DataError when the data cannot be had."""

    @abc.abstractmethod
    def load(self, data_dir: Path) -> Mapping[str, Samples]:
        """The samples: {"all": ...} to be split into three, or {"train": ..., "test": ...} with a test set of its own.

        Raises DataError when they cannot be had.
        """


def load_splits(dataset: Dataset, split_seed: int, data_dir: Path) -> dict[str, Samples]:
    """The splits "train", "validation" and "test" of a dataset, stratified, inputs as float32 standardized per channel.

    The mean and deviation are those of the training split. A test set of the dataset's own is never mixed in.
    """
    parts = dict(dataset.load(data_dir))
    sizes = dict(dataset.sizes)
    if "test" in parts:
        test = parts["test"]
        rest = parts["train"]
        train, validation = stratified_split(rest.targets, [sizes["train"], sizes["validation"]], split_seed)
        chosen = {"train": _take(rest, train), "validation": _take(rest, validation), "test": test}
    else:
        rest = parts["all"]
        indices = stratified_split(rest.targets, [sizes["train"], sizes["validation"], sizes["test"]], split_seed)
        chosen = dict(zip(("train", "validation", "test"), (_take(rest, part) for part in indices), strict=True))
    mean, deviation = _per_channel(chosen["train"].inputs)
    return {
        name: Samples((part.inputs.float() - mean) / deviation, part.targets.long()) for name, part in chosen.items()
    }


def stratified_split(targets: Tensor, sizes: list[int], split_seed: int) -> list[Tensor]:
    """Disjoint indices of the given sizes, each with the classes in proportion (largest remainders), by `split_seed`.

    Raises DataError when the sizes together exceed the samples.
    """
    labels = targets.cpu().numpy()
    if sum(sizes) > len(labels):
        raise DataError(
            f"the splits together need {sum(sizes)} samples, but the data have {len(labels)}; make them smaller"
        )
    random = np.random.Generator(np.random.PCG64(split_seed))
    left = {label: random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)}
    parts = []
    for size in sizes:
        total = sum(map(len, left.values()))
        share = {label: size * len(indices) / max(total, 1) for label, indices in left.items()}
        count = {label: int(value) for label, value in share.items()}
        by_remainder = sorted(share, key=lambda label: (count[label] - share[label], label))
        for label in by_remainder[: size - sum(count.values())]:
            count[label] += 1
        parts.append(np.sort(np.concatenate([indices[: count[label]] for label, indices in left.items()])))
        left = {label: indices[count[label] :] for label, indices in left.items()}
    return [torch.from_numpy(part) for part in parts]


def content_hash(splits: Mapping[str, Samples]) -> str:
    """16 hexadecimal digits of the very numbers that are trained and tested on, split by split."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        for tensor in (splits[name].inputs, splits[name].targets):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _take(samples: Samples, indices: Tensor) -> Samples:
    return Samples(samples.inputs[indices], samples.targets[indices])


def _per_channel(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation per channel of images (n, C, H, W), of everything together for other shapes."""
    inputs = inputs.double()
    dims = (0, 2, 3) if inputs.dim() == 4 else tuple(range(inputs.dim()))
    mean = inputs.mean(dims, keepdim=True)
    deviation = inputs.std(dims, keepdim=True).clamp_min(1e-8)  # constant inputs stay constant
    return mean.float(), deviation.float()
