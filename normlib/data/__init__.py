"""The datasets: one a file, registered by name. This folder knows neither norms nor models."""

from __future__ import annotations

from normlib.registry import Registry


def _dataset_class() -> type:
    from normlib.data.dataset import Dataset

    return Dataset


datasets = Registry(
    kind="dataset",
    package="normlib.data",
    entry_points="normlib.data",
    supplied=frozenset(),
    required_base=_dataset_class,
)
register = datasets.register
names = datasets.names
