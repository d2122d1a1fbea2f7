"""Your own arrays in one .npz file: facts from the headers inside, samples when they are asked for. Never unpickles."""

from __future__ import annotations

import functools
import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normlib.data import register
from normlib.data.cutting import SPLIT_NAMES, cut_sizes
from normlib.data.dataset import DataError, Dataset, Samples

INPUTS, TARGETS = ("inputs", "x"), ("targets", "y")


@dataclass(frozen=True)
class Header:
    """The shape of one array in the file, and its type."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@register("arrays")
class Arrays(Dataset):
    """Your own arrays, ``data=arrays data.file=my.npz``: `inputs` and `targets` (or `x` and `y`), whole or as
    `train_inputs`, `test_inputs`, ...

    `task`: what the targets are for. `classes`: the number of classes, None to count them. `vocabulary`: inputs are
    token ids. `validation`, `test`: shares that are cut off if the file has no such arrays. The hash of the file is its
    version.

    Settings:
        file: the .npz file
        task: what the targets are for
        classes: number of classes; null counts them
        vocabulary: number of tokens, where inputs are token ids
        characters_per_token: characters that a token stands for on average, for bits per character; null if not
            known
        standardize: whether inputs get mean 0 and deviation 1 on the training split
        validation: share that is cut off for validation, where the file has no such arrays
        test: share that is cut off for testing, where the file has no such arrays
    """

    def __init__(
        self,
        file: str = "",
        task: str = "classification",
        classes: int | None = None,
        vocabulary: int | None = None,
        characters_per_token: float | None = None,
        standardize: bool = True,
        validation: float = 0.1,
        test: float = 0.1,
    ) -> None:
        if not file:
            raise DataError("data=arrays reads a file of arrays: name it with data.file=my.npz")
        self.path = Path(file).expanduser()
        try:
            stamp = self.path.stat()
        except OSError as error:
            raise DataError(f"data.file={file} cannot be read: {error.strerror}") from error
        self.version, headers = _examined(self.path.resolve(), stamp.st_size, stamp.st_mtime_ns)
        self.keys = _keys(headers, file)
        self.task, self.vocabulary, self.characters_per_token = task, vocabulary, characters_per_token
        self.standardize = standardize
        inputs, targets = (headers[key] for key in next(iter(self.keys.values())))
        self.input_shape = inputs.shape[1:]
        lengths = {part: headers[key].shape[0] for part, (key, _) in self.keys.items()}
        self.sizes = cut_sizes(lengths, validation, test, f"data.file={file}")
        if targets.dtype.kind == "f":
            if task != "regression":
                raise DataError(
                    f"data.file={file}: data.task={task} takes whole numbers as targets, and these are {targets.dtype}; real targets "
                    "are for data.task=regression, and one-hot targets become class numbers with argmax(1)"
                )
            self.num_targets = targets.shape[1] if len(targets.shape) > 1 else 1
        elif task in ("classification", "segmentation"):
            self.num_classes = classes if classes is not None else self._count_classes()

    def load(self, data_dir: Path) -> dict[str, Samples]:
        with np.load(self.path, allow_pickle=False) as file:
            return {
                part: Samples(_tensor(file[inputs]), self._targets(_tensor(file[targets])))
                for part, (inputs, targets) in self.keys.items()
            }

    def _targets(self, targets: Tensor) -> Tensor:
        return targets.unsqueeze(1) if self.task == "regression" and targets.dim() == 1 else targets

    def _count_classes(self) -> int:
        """One more than the largest class number of the file, at least 2."""
        with np.load(self.path, allow_pickle=False) as file:
            return max(2, *(1 + int(file[targets].max(initial=0)) for _, targets in self.keys.values()))


@functools.lru_cache(maxsize=64)
def _examined(path: Path, size: int, modified: int) -> tuple[str, Mapping[str, Header]]:
    """The hash of a file and the headers of its arrays. `size` and `modified` are only for the cache."""
    try:
        with open(path, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            headers = {name.removesuffix(".npy"): _header(archive, name) for name in names}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not a file that numpy.savez writes ({error}): numpy.savez('my.npz', inputs=inputs, targets=targets)"
        ) from error
    return f"npz-{digest}", headers


def _header(archive: zipfile.ZipFile, name: str) -> Header:
    with archive.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.hasobject or dtype.kind not in "biufc" or not shape:
        raise ValueError(
            f"array {name.removesuffix('.npy')!r} is of type {dtype} and shape {shape}, and data are numbers with one row a sample"
        )
    return Header(shape, dtype)


def _keys(headers: Mapping[str, Header], file: str) -> dict[str, tuple[str, str]]:
    """For each part of the file, "all" or splits, the names of its inputs and of its targets."""
    found: dict[str, dict[str, str]] = {}
    for key in headers:
        words = key.lower().split("_")
        split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "all")
        role = [word for word in words if word not in SPLIT_NAMES]
        if role in ([INPUTS[0]], [INPUTS[1]], [TARGETS[0]], [TARGETS[1]]):
            found.setdefault(split, {})["inputs" if role[0] in INPUTS else "targets"] = key
    parts = {part: (keys["inputs"], keys["targets"]) for part, keys in found.items() if len(keys) == 2}
    if set(parts) not in ({"all"}, {"train"}, {"train", "test"}, {"train", "validation", "test"}):
        raise DataError(
            f"data.file={file}: needs arrays inputs and targets (or x and y), or train_inputs, train_targets, test_inputs, test_targets "
            f"and perhaps validation_inputs, validation_targets (or x_train, ...), got {', '.join(headers) or 'none'}"
        )
    return {"all": parts["train"]} if set(parts) == {"train"} else parts


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor of the array's values. Unsigned types that torch lacks become int64."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(
        native.astype(np.int64) if native.dtype.kind == "u" and native.dtype.itemsize > 1 else native
    )
