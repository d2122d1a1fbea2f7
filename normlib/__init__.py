"""normlib compares normalization layers fairly: identical networks that differ in nothing but the norm.

Everything is imported when it is first used, so reading results needs no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normlib.api import compare as compare
    from normlib.api import sweep as sweep
    from normlib.api import train as train
    from normlib.conversion.convert import convert as convert
    from normlib.conversion.fold import fold as fold
    from normlib.conversion.freeze import freeze_statistics as freeze_statistics
    from normlib.conversion.report import conversion_report as conversion_report
    from normlib.conversion.to_torch import to_torch as to_torch
    from normlib.data import register as register_dataset
    from normlib.data.from_torch import dataset_from as dataset_from
    from normlib.models import register as register_model
    from normlib.models import register_network as register_network
    from normlib.norms import create as create
    from normlib.norms import factory as factory
    from normlib.norms import names as names
    from normlib.norms import register as register
    from normlib.norms.base import Norm as Norm
    from normlib.norms.batch import BatchNorm as BatchNorm
    from normlib.norms.batch_renorm import BatchRenorm as BatchRenorm
    from normlib.norms.group import GroupNorm as GroupNorm
    from normlib.norms.instance import InstanceNorm as InstanceNorm
    from normlib.norms.layer import LayerNorm as LayerNorm
    from normlib.norms.place import CannotEnter as CannotEnter
    from normlib.norms.place import Place as Place
    from normlib.norms.population import precise_statistics as precise_statistics
    from normlib.norms.population import recompute_statistics as recompute_statistics
    from normlib.norms.running import RunningNorm as RunningNorm
    from normlib.results.elsewhere.arms import compare_arms as compare_arms
    from normlib.results.store.folders import load_results as load_results
    from normlib.results.study.tidy import tidy as tidy
    from normlib.results.tables.model import Column as Column
    from normlib.results.tables.model import Table as Table
    from normlib.results.tables.table import register_table as register_table
    from normlib.tasks import register as register_task
    from normlib.tasks.metric import Metric as Metric
    from normlib.tasks.task import Task as Task
    from normlib.training.saved import load_network as load_network
    from normlib.verbs import bench as bench
    from normlib.verbs import check as check
    from normlib.verbs import list as list
    from normlib.verbs import plan as plan
    from normlib.verbs import report as report

__version__ = "0.1.0"

_PUBLIC = {
    "BatchNorm": ("normlib.norms.batch", "BatchNorm"),
    "BatchRenorm": ("normlib.norms.batch_renorm", "BatchRenorm"),
    "CannotEnter": ("normlib.norms.place", "CannotEnter"),
    "Column": ("normlib.results.tables.model", "Column"),
    "GroupNorm": ("normlib.norms.group", "GroupNorm"),
    "InstanceNorm": ("normlib.norms.instance", "InstanceNorm"),
    "LayerNorm": ("normlib.norms.layer", "LayerNorm"),
    "Metric": ("normlib.tasks.metric", "Metric"),
    "Norm": ("normlib.norms.base", "Norm"),
    "Place": ("normlib.norms.place", "Place"),
    "RunningNorm": ("normlib.norms.running", "RunningNorm"),
    "Table": ("normlib.results.tables.model", "Table"),
    "Task": ("normlib.tasks.task", "Task"),
    "bench": ("normlib.verbs", "bench"),
    "check": ("normlib.verbs", "check"),
    "compare": ("normlib.api", "compare"),
    "compare_arms": ("normlib.results.elsewhere.arms", "compare_arms"),
    "conversion_report": ("normlib.conversion.report", "conversion_report"),
    "convert": ("normlib.conversion.convert", "convert"),
    "create": ("normlib.norms", "create"),
    "dataset_from": ("normlib.data.from_torch", "dataset_from"),
    "factory": ("normlib.norms", "factory"),
    "fold": ("normlib.conversion.fold", "fold"),
    "freeze_statistics": ("normlib.conversion.freeze", "freeze_statistics"),
    "list": ("normlib.verbs", "list"),
    "load_network": ("normlib.training.saved", "load_network"),
    "load_results": ("normlib.results.store.folders", "load_results"),
    "names": ("normlib.norms", "names"),
    "plan": ("normlib.verbs", "plan"),
    "precise_statistics": ("normlib.norms.population", "precise_statistics"),
    "recompute_statistics": ("normlib.norms.population", "recompute_statistics"),
    "register": ("normlib.norms", "register"),
    "register_dataset": ("normlib.data", "register"),
    "register_model": ("normlib.models", "register"),
    "register_network": ("normlib.models", "register_network"),
    "register_table": ("normlib.results.tables.table", "register_table"),
    "register_task": ("normlib.tasks", "register"),
    "report": ("normlib.verbs", "report"),
    "sweep": ("normlib.api", "sweep"),
    "tidy": ("normlib.results.study.tidy", "tidy"),
    "to_torch": ("normlib.conversion.to_torch", "to_torch"),
    "train": ("normlib.api", "train"),
}
__all__ = [  # all but `list`: after `from normlib import *` Python's own list is still there
    "BatchNorm",
    "BatchRenorm",
    "CannotEnter",
    "Column",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "Metric",
    "Norm",
    "Place",
    "RunningNorm",
    "Table",
    "Task",
    "__version__",
    "bench",
    "check",
    "compare",
    "compare_arms",
    "conversion_report",
    "convert",
    "create",
    "dataset_from",
    "factory",
    "fold",
    "freeze_statistics",
    "load_network",
    "load_results",
    "names",
    "plan",
    "precise_statistics",
    "recompute_statistics",
    "register",
    "register_dataset",
    "register_model",
    "register_network",
    "register_table",
    "register_task",
    "report",
    "sweep",
    "tidy",
    "to_torch",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'normlib' has no attribute {name!r}; it has {', '.join(__dir__())}")
    module, attribute = _PUBLIC[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> Iterable[str]:
    return sorted({*__all__, *_PUBLIC})
