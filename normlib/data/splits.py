"""Makes the three splits for training and testing from what a dataset loads: checked, cut, standardized, hashed.

In: a Dataset and `split_seed`. Out: {"train", "validation", "test"}. A part that a dataset gives whole is never mixed
with another. The test split never influences how inputs are standardized. Draws from no global random state.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from normlib.data.dataset import SPLITS, DataError, Dataset, Samples

PARTS = ({"all"}, {"train", "test"}, set(SPLITS))
CONSTANT = 1e-8  # a channel with a smaller deviation counts as constant and is only centred


def load_splits(dataset: Dataset, split_seed: int, data_dir: Path) -> dict[str, Samples]:
    """The splits "train", "validation" and "test" in memory. Raises DataError for samples that are not as declared.

    Float inputs become float32, standardized per channel by the training split if the dataset asks for it. Token ids and
    integer targets become int64, float targets float32.
    """
    parts = dataset.load(data_dir)
    check_parts(dataset, parts, "load")
    for part, samples in parts.items():
        if not isinstance(samples, Samples):
            raise DataError(
                f"{type(dataset).__name__}.load: every part is a normlib.data.dataset.Samples(inputs, targets), but {part!r} is "
                f"a {type(samples).__name__}"
            )
        check_tensors(dataset, samples.inputs, samples.targets, part)
    lengths = {part: len(samples) for part, samples in parts.items()}
    chosen = split_indices(dataset, lengths, lambda part: parts[part].targets, split_seed)
    splits = {}
    for split, (part, indices) in chosen.items():
        inputs, targets = parts[part].inputs, parts[part].targets
        if indices is not None:
            inputs, targets = inputs[indices], targets[indices]
        splits[split] = Samples(as_trained(inputs), as_trained(targets))
    if dataset.standardize and dataset.vocabulary is None:
        mean, deviation = moments_per_channel(splits["train"].inputs)
        splits = {
            split: Samples((samples.inputs - mean) / deviation, samples.targets) for split, samples in splits.items()
        }
    return splits


def check_parts(dataset: Dataset, parts: object, method: str) -> None:
    """Refuse anything but a dictionary with the names of parts that can be cut into three splits. Raises DataError."""
    if not isinstance(parts, Mapping) or set(parts) not in PARTS:
        got = f"the parts {sorted(map(str, parts))}" if isinstance(parts, Mapping) else f"a {type(parts).__name__}"
        raise DataError(
            f'{type(dataset).__name__}.{method} returns a dictionary with "all", with "train" and "test", or with "train", '
            f'"validation" and "test", got {got}; e.g. return {{"all": Samples(inputs, targets)}}'
        )


def check_tensors(dataset: Dataset, inputs: Tensor, targets: Tensor, part: str) -> None:
    """Refuse samples that are not as the dataset declares: type, number, shape, finite values, token ids. DataError.

    The task checks its targets itself.
    """
    where = f"{type(dataset).__name__}, part {part!r}"
    for name, tensor in (("inputs", inputs), ("targets", targets)):
        if not isinstance(tensor, Tensor):
            raise DataError(
                f"{where}: {name} are torch tensors, got {type(tensor).__name__}; convert them, e.g. torch.as_tensor({name})"
            )
        if tensor.is_complex():
            raise DataError(
                f"{where}: {name} are real numbers, got {tensor.dtype}; give real and imaginary parts as channels"
            )
        if tensor.is_floating_point() and not tensor.isfinite().all():
            count = int((~tensor.isfinite()).sum())
            raise DataError(f"{where}: {name} are finite numbers, but {count} values are not; remove or replace these")
    if inputs.dim() == 0 or targets.dim() == 0 or len(inputs) != len(targets):
        raise DataError(
            f"{where}: there is one target for each input, got inputs of shape {tuple(inputs.shape)} and targets of shape "
            f"{tuple(targets.shape)}"
        )
    if not len(inputs):
        raise DataError(f"{where} has no samples; leave the part out, or fill it")
    shape, declared = tuple(inputs.shape[1:]), tuple(dataset.input_shape)
    if shape != declared:
        hint = "correct input_shape or the data"
        if Counter(shape) == Counter(declared):
            hint = "channels last? normlib takes channels first: inputs.movedim(-1, 1)"
        raise DataError(
            f"{where}: the declared input_shape is {declared}, but the inputs have the shape {shape}; {hint}"
        )
    if dataset.vocabulary is None:
        if not inputs.is_floating_point():
            raise DataError(
                f"{where}: inputs are floats unless the dataset declares a vocabulary, got {inputs.dtype}; images are floats: "
                "return inputs.float(), and token ids need vocabulary = <number of tokens>"
            )
    elif inputs.is_floating_point() or inputs.dtype == torch.bool:
        raise DataError(
            f"{where}: a dataset with a vocabulary has whole numbers as inputs, the token ids, got {inputs.dtype}; return "
            "inputs.long(), or leave vocabulary out"
        )
    elif int(inputs.min()) < 0 or int(inputs.max()) >= dataset.vocabulary:
        raise DataError(
            f"{where}: token ids are at least 0 and below the vocabulary of {dataset.vocabulary}, got {int(inputs.min())} to "
            f"{int(inputs.max())}"
        )


def split_indices(
    dataset: Dataset, lengths: Mapping[str, int], targets_of: Callable[[str], Tensor | None], split_seed: int
) -> dict[str, tuple[str, Tensor | None]]:
    """For each split, the part that it is taken from, and which of its samples, (size,). None means all, in order.

    `lengths`: samples of each part. `targets_of(part)`: its targets, or None if they are not known. Parts are cut by
    class if the task is classification and the targets are class numbers, otherwise at random. Raises DataError if
    sizes do not fit.
    """
    sizes = dict(dataset.sizes)
    cut = SPLITS if "all" in lengths else SPLITS[:2] if "validation" not in lengths else ()
    chosen: dict[str, tuple[str, Tensor | None]] = {split: (split, None) for split in SPLITS if split not in cut}
    for split in chosen:
        if lengths[split] != sizes[split]:
            raise DataError(
                f"{type(dataset).__name__} declares {sizes[split]} samples of {split!r}, but has {lengths[split]}; correct sizes"
            )
    if cut:
        part = "all" if "all" in lengths else "train"
        wanted = [sizes[split] for split in cut]
        targets = targets_of(part) if dataset.task == "classification" else None
        if targets is not None and targets.dim() == 1 and not targets.is_floating_point():
            indices = stratified_split(targets, wanted, split_seed)
        else:
            indices = random_split(lengths[part], wanted, split_seed)
        chosen |= {split: (part, each) for split, each in zip(cut, indices, strict=True)}
    return {split: chosen[split] for split in SPLITS}


def random_split(count: int, sizes: list[int], split_seed: int) -> list[Tensor]:
    """Disjoint, sorted indices below `count` of the given sizes, by `split_seed`. DataError if there are too few."""
    _check_total(count, sizes)
    order = np.random.Generator(np.random.PCG64(split_seed)).permutation(count)
    ends = np.cumsum(sizes)
    return [torch.from_numpy(np.sort(order[end - size : end])) for end, size in zip(ends, sizes, strict=True)]


def stratified_split(targets: Tensor, sizes: list[int], split_seed: int) -> list[Tensor]:
    """Disjoint indices of the given sizes, each with the classes in proportion (largest remainders), by `split_seed`.

    Raises DataError when the sizes together exceed the samples.
    """
    labels = targets.cpu().numpy()
    _check_total(len(labels), sizes)
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


def as_trained(values: Tensor) -> Tensor:
    """Floats as float32, whole numbers as int64."""
    return values.float() if values.is_floating_point() else values.long()


def moments_per_channel(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of inputs (n, C, *positions), each (1, C, 1, ...). A constant channel has deviation 1."""
    values = inputs.double()
    dims = (0, *range(2, inputs.dim()))
    mean = values.mean(dims, keepdim=True)
    deviation = values.std(dims, keepdim=True)  # NaN for a single value, which counts as constant too
    return mean.float(), torch.where(deviation > CONSTANT, deviation, 1.0).float()


def content_hash(splits: Mapping[str, Samples]) -> str:
    """16 hexadecimal digits for the very numbers that are trained and tested on, split by split."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        for tensor in (splits[name].inputs, splits[name].targets):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _check_total(count: int, sizes: list[int]) -> None:
    if sum(sizes) > count:
        raise DataError(f"the splits together need {sum(sizes)} samples, but the data have {count}; make them smaller")
