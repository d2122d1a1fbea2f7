"""What is known about a run before it is trained: facts of its data, and whether data, task, norm and network fit.

In: sections of a spec. Out: a dataset that has loaded nothing, a reason to skip the run, or ConfigError. Networks are
built on the meta device, without memory.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import torch

from normlib.data import datasets
from normlib.data.dataset import Dataset
from normlib.experiments.complaints import ConfigError
from normlib.models import registered_name
from normlib.norms.place import CannotEnter
from normlib.tasks import tasks
from normlib.training.inputs import NetworkShape, make_dataset, make_task
from normlib.training.network import build_network
from normlib.training.surroundings import standard_surroundings


def declared_dataset(data: Mapping[str, Any]) -> Dataset:
    """The dataset of a section, with the facts that it declares. Raises ConfigError for settings that it refuses."""
    return _dataset(json.dumps(data, sort_keys=True), datasets[data["name"]].cls)


def forget_datasets() -> None:
    """Make every dataset again at its next use. A data file may have been edited since the last plan."""
    _dataset.cache_clear()


@functools.lru_cache(maxsize=1024)
def _dataset(data: str, cls: type) -> Dataset:
    """The dataset of a spec. `cls` is part of the cache's key, so an edited plugin, loaded again, is made again."""
    try:
        return make_dataset(json.loads(data))
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error


def task_of_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The task that the data declare, with its defaults."""
    name = declared_dataset(data).task
    return {"name": name} | {setting.name: setting.default for setting in tasks[name].settings.values()}


def check_task(task: Mapping[str, Any], data: Mapping[str, Any], dataset: Dataset) -> None:
    """Refuse data that do not declare what the task needs. Raises ConfigError."""
    try:
        made = make_task(task)
        made.num_outputs(dataset)
        if data["crop"] and made.targets_are_positions:
            made.padding_target()
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error


@functools.lru_cache(maxsize=65536)
def examine(examined: str, classes: tuple[type, ...], typed: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Why a run makes no sense, or None; and in words, what the model changes in a network of another library.

    `classes` are those of `_classes`, and `typed` is as for `_code`. Both are in the cache's key: an edited plugin or
    cell is examined again.
    """
    with standard_surroundings(torch.get_num_threads()):
        return _reason_to_skip(examined)


def _reason_to_skip(examined: str) -> tuple[str | None, tuple[str, ...]]:
    """Build the network without memory and run one batch through it. Returns why this makes no sense, or None.

    A norm says so with a ValueError when it is called. A ValueError on construction is a wrong setting (ConfigError).
    """
    spec = json.loads(examined) | {"seed": 0, "init": {"scheme": "he", "scale": 1.0}}
    dataset = declared_dataset(spec["data"])
    task = make_task(spec["task"])
    shape = NetworkShape.for_task(dataset, task)
    try:
        with torch.device("meta"):
            network = build_network(spec, shape, total_steps=1)
    except CannotEnter as error:
        return str(error), ()
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{error} (norm={spec['norm']['name']}, model={registered_name(spec['model'])})") from error
    except Exception:
        return None, ()  # as below: a constructor that reads a value cannot run without memory
    try:
        with torch.no_grad():
            outputs = network.module(shape.example(spec["data"]["batch_size"], "meta"))
    except ValueError as error:
        return str(error), network.changes
    except Exception:
        return (
            None,
            network.changes,
        )  # not every operation runs without memory; a real fault shows in the run, with its traceback
    _check_outputs(spec, outputs, task.output_shape(dataset))
    return None, network.changes


def _check_outputs(spec: Mapping[str, Any], outputs: Any, wanted: tuple[int, ...]) -> None:
    """Refuse a network whose outputs are not what the task reads. Raises ConfigError."""
    came = tuple(outputs.shape[1:]) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if came != wanted:
        raise ConfigError(
            f"task={spec['task']['name']} on data={spec['data']['name']} needs outputs of shape {wanted} for a sample, but "
            f"model={registered_name(spec['model'])} gives {came}; choose a model that is made for this task"
        )
