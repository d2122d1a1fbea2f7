"""How many samples each split gets if a user gives shares instead of numbers. Knows lengths only, no samples."""

from __future__ import annotations

from collections.abc import Mapping

from normlib.data.dataset import SPLITS, DataError

SPLIT_NAMES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
"""What splits are called in files and folders."""


def cut_sizes(lengths: Mapping[str, int], validation: float, test: float, where: str) -> dict[str, int]:
    """The sizes of train, validation and test, from the parts that there are: "all", "train" and "test", or all three.

    `validation` and `test` are the shares that are cut off "all" or "train". Raises DataError if a split would be
    empty.
    """
    for name, share in (("validation", validation), ("test", test)):
        if not 0 < share < 1:
            raise DataError(f"{where}: {name} is the share of samples that is cut off, between 0 and 1, got {share}")
    sizes = dict(lengths)
    if "all" in sizes:
        count = sizes.pop("all")
        sizes["test"] = round(test * count)
        sizes["train"] = count - sizes["test"]
    if "validation" not in sizes:
        sizes["validation"] = (
            round(validation * sizes["train"]) if "all" not in lengths else round(validation * lengths["all"])
        )
        sizes["train"] -= sizes["validation"]
    sizes = {split: sizes[split] for split in SPLITS}
    if min(sizes.values()) < 1:
        raise DataError(f"{where}: every split has at least one sample, got {sizes}; give more samples or other shares")
    return sizes
