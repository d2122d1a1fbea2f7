"""Makes a dataset of normlib of any map-style torch.utils.data.Dataset, registered under a name.

In: the torch dataset and its task. Out: a class, registered for this process and for the workers that load the same
plugin. Reads one item to learn the shape, and the rest when a run asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normlib.data import datasets
from normlib.data.cutting import cut_sizes
from normlib.data.dataset import DataError, Dataset, Samples
from normlib.data.streaming import as_pair, read_item, require_map_style, stacked
from normlib.project import file_of

SHARE = (int, float)
"""A part may also be a share of the others, instead of a dataset of its own."""


def dataset_from(
    data: Any,
    *,
    name: str,
    task: str = "classification",
    validation: Any = 0.1,
    test: Any = 0.1,
    num_classes: int | None = None,
    vocabulary: int | None = None,
    characters_per_token: float | None = None,
    standardize: bool = True,
    in_memory: bool = True,
    workers: int = 0,
    version: str = "1",
) -> type[Dataset]:
    """Register `data`, a map-style torch dataset with items (input, target), as ``data=<name>``. Returns the class.

    `validation` and `test` are datasets of their own, or shares that are cut off `data`. `num_classes` is needed for
    segmentation, and for classification if `data` has no attribute `classes`. `vocabulary`: inputs are token ids. With
    `in_memory=False`, `workers` processes read items during training. Change `version` whenever the data change. Call
    it in a file that runs name with ``plugins=[my_data.py]``, so that worker processes have the data too. Raises
    DataError for an IterableDataset, for items that are not pairs of numbers, and for settings that do not fit.
    """
    module = sys.modules.get(sys._getframe(1).f_globals["__name__"])
    if module is None or file_of(module) is None:
        raise DataError(
            f"dataset_from: {name!r} was made in a notebook or an interpreter, where worker processes cannot find it; put the call "
            "into a file, my_data.py, and name that with plugins=[my_data.py]"
        )
    parts = _parts(data, validation, test, name)
    value, target = as_pair(data[0], f"dataset_from: {name!r}, item 0")
    shares = {key: share for key, share in (("validation", validation), ("test", test)) if isinstance(share, SHARE)}
    if task == "classification" and num_classes is None:
        if not hasattr(data, "classes"):
            raise DataError(f"dataset_from: {name!r} does not say how many classes it has; give num_classes=")
        num_classes = len(data.classes)
    facts = {
        "__doc__": f"{type(data).__name__}, given to normlib.dataset_from.",
        "__module__": module.__name__,
        "input_shape": tuple(value.shape),
        "sizes": cut_sizes(
            {part: len(items) for part, items in parts.items()},
            shares.get("validation", 0.1),
            shares.get("test", 0.1),
            f"dataset_from: {name!r}",
        ),
        "version": version,
        "task": task,
        "num_classes": num_classes,
        "num_targets": max(target.numel(), 1) if task == "regression" else None,
        "vocabulary": vocabulary,
        "characters_per_token": characters_per_token,
        "standardize": standardize,
        "streamed": not in_memory,
        "workers": workers,
        "parts": parts,
    }
    cls = type(name, (TorchData,), facts)
    cls().check_declaration()
    datasets.register(name)(cls)
    return cls


class TorchData(Dataset):
    """The base of the datasets made by `dataset_from`. `parts` are the torch datasets by the names of `Dataset.load`."""

    parts: Mapping[str, Any] = {}

    def load(self, data_dir: Path) -> dict[str, Samples]:
        return {
            part: stacked(read_item(self, part, items, number) for number in range(len(items)))
            for part, items in self.parts.items()
        }

    def open(self, data_dir: Path) -> Mapping[str, Any]:
        return self.parts


def _parts(data: Any, validation: Any, test: Any, name: str) -> dict[str, Any]:
    """The torch datasets by the names of `Dataset.load`, each map-style and not empty."""
    parts = {"all": data}
    if not isinstance(test, SHARE):
        parts = {"train": data, "test": test}
        if not isinstance(validation, SHARE):
            parts["validation"] = validation
    elif not isinstance(validation, SHARE):
        raise DataError(f"dataset_from: {name!r} has a validation set of its own but no test set; give test= too")
    for part, items in parts.items():
        require_map_style(items, f"dataset_from: {name!r}, {part}")
        if not len(items):
            raise DataError(f"dataset_from: {name!r}, {part} has no samples; leave it out, or fill it")
    return parts
