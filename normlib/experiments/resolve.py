"""One configuration to one run: the spec, its id, whether it makes sense, and the command that makes it again.

Builds networks only on the meta device, without memory, to learn what a norm or a model refuses.
"""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from normlib.data import datasets
from normlib.data.dataset import Dataset
from normlib.experiments.check import check
from normlib.experiments.complaints import ConfigError
from normlib.experiments.config import NO_EXPERIMENT, experiment_file
from normlib.experiments.user_code import resolve_function, resolve_module
from normlib.models import models, registered_name
from normlib.norms import norms
from normlib.norms.place import CannotEnter
from normlib.tasks import tasks
from normlib.training import source
from normlib.training.environment import resolve_accelerator
from normlib.training.inputs import make_dataset, make_task
from normlib.training.network import NetworkShape, build_network
from normlib.training.spec import SCALARS, SECTIONS, Run, planned_steps, run_id
from normlib.training.surroundings import standard_surroundings

TRAINING_FILES = (
    "data/dataset.py", "data/splits.py", "data/streaming.py", "models/site.py", "norms/running.py", "norms/population.py", "training/batches.py",
    "training/evaluation.py", "training/feeding.py", "training/fitted.py", "training/inputs.py", "training/installation.py",
    "training/loop.py", "training/network.py", "training/record.py", "training/run.py", "training/schedule.py",
    "training/seeding.py", "training/setup.py", "training/spec.py", "training/surroundings.py", "training/trainer.py",
    "tasks/task.py",
)  # fmt: skip
LABELLED = ("norm", "model", "data", "task", "optimizer", "schedule")
NOT_IN_COMMANDS = (
    "results_dir",
    "jobs",
    "retry_failed",
    "rows",
    "columns",
    "baseline",
    "metric",
    "higher_is_better",
    "rope",
    "target",
    "control",
    "tuning",
    "logger",
    "save_weights",
    "hydra",
    "data_dir",
)


def resolve(
    plain: Mapping[str, Any],
    choices: Mapping[str, str | None],
    overrides: Sequence[str],
    config_dirs: Sequence[str] = (),
) -> Run:
    """The run that a composed configuration stands for, skipped with a reason where it cannot make sense.

    `overrides` are those of this run, without sweeps. Raises ConfigError for settings that cannot be.
    """
    if plain["function"]["path"]:
        return resolve_function(
            plain, choices, _command(overrides, config_dirs), choices.get("experiment") or NO_EXPERIMENT
        )
    if plain["module"]["path"]:
        file = experiment_file(str(choices.get("experiment")), config_dirs) if choices.get("experiment") else {}
        given = "batch_size" in (file.get("data") or {}) or any(o.startswith("data.batch_size=") for o in overrides)
        experiment = choices.get("experiment") or NO_EXPERIMENT
        return resolve_module(plain, choices, _command(overrides, config_dirs), experiment, given)
    plain = {**plain, "task": plain["task"] or _task_of_data(plain["data"])}
    spec = {section: dict(plain[section]) for section in SECTIONS} | {key: plain[key] for key in SCALARS}
    if spec["training"]["steps"] is not None:
        spec["training"]["epochs"] = None
    dataset = _dataset(json.dumps(spec["data"], sort_keys=True), datasets[spec["data"]["name"]].cls)
    check(spec, dataset)
    _meet(json.dumps([spec["task"], spec["data"]], sort_keys=True), tasks[spec["task"]["name"]].cls, dataset)
    classes = _classes(spec)
    spec["accelerator"] = _accelerator(spec["accelerator"])
    total_steps = planned_steps(spec, dataset.sizes["train"])
    typed = source.typed_texts(classes.values())
    code = dict(_code(tuple(classes.items()), typed))
    labels = {group: str(choices.get(group) or registered_name(spec[group])) for group in LABELLED}
    examined = {section: spec[section] for section in ("norm", "model", "data", "task", "site")}
    examined["data_version"] = dataset.version  # an edited file of data may have other shapes
    examined["evaluation"] = {"statistics": spec["evaluation"]["statistics"]}
    examined["norm"] = {**spec["norm"], "gamma_noise": 0.0}  # neither noise nor split changes what makes sense,
    examined["data"] = {**spec["data"], "split_seed": 0}  # and a network is examined once for all of them
    return Run(
        id=run_id(spec, code, dataset.version),
        experiment=choices.get("experiment") or NO_EXPERIMENT,
        labels=labels,
        spec=spec,
        code=code,
        data_version=dataset.version,
        command=_command(overrides, config_dirs),
        plugins=tuple(plain["plugins"]),
        skip_reason=_examine(json.dumps(examined, sort_keys=True), tuple(classes.values()), typed),
        planned_steps=total_steps,
    )


def forget_datasets() -> None:
    """Make every dataset again when it is next asked for: a file of data may have been edited since the last plan."""
    _dataset.cache_clear()


@functools.lru_cache(maxsize=1024)
def _dataset(data: str, cls: type) -> Dataset:
    """The dataset of a spec; `cls` is only there so that an edited plugin, loaded again, is not answered from the cache."""
    try:
        return make_dataset(json.loads(data))
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error


def _task_of_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The task that the data are for, as they declare it, with its defaults."""
    name = _dataset(json.dumps(data, sort_keys=True), datasets[data["name"]].cls).task
    return {"name": name} | {setting.name: setting.default for setting in tasks[name].settings.values()}


@functools.lru_cache(maxsize=1024)
def _meet(sections: str, task_class: type, dataset: Dataset) -> None:
    """Refuse data that do not declare what the task needs. ConfigError. The class is there for the cache, as for `_dataset`."""
    task, data = json.loads(sections)
    try:
        made = make_task(task)
        made.num_outputs(dataset)
        if data["crop"] and made.targets_are_positions:
            made.padding_target()
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error


@functools.cache
def _accelerator(name: str) -> str:
    try:
        return resolve_accelerator(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _classes(spec: Mapping[str, Any]) -> dict[str, type]:
    """The registered classes whose code makes the run; "weights" only where there is a method on weights beside the norm."""
    weights = spec["norm"]["weights"]
    return {
        "norm": norms[spec["norm"]["name"]].cls,
        "model": models[registered_name(spec["model"])].cls,
        "data": datasets[spec["data"]["name"]].cls,
        "task": tasks[spec["task"]["name"]].cls,
    } | ({} if weights is None else {"weights": norms[weights].cls})


@functools.lru_cache(maxsize=1024)
def _code(classes: tuple[tuple[str, type], ...], typed: tuple[str, ...]) -> Mapping[str, str]:
    """`typed`, the sources from a notebook, are there for the cache: a class may use a cell that was edited."""
    hashes = {kind: source.class_hash(cls) for kind, cls in classes}
    return hashes | {"training": source.files_hash(TRAINING_FILES)}


@functools.lru_cache(maxsize=65536)
def _examine(examined: str, classes: tuple[type, ...], typed: tuple[str, ...]) -> str | None:
    """`classes` are those of `_classes`, and `typed` as for `_code`, for the cache: an edited plugin or cell is examined again."""
    with standard_surroundings(torch.get_num_threads()):
        return _reason_to_skip(examined)


def _reason_to_skip(examined: str) -> str | None:
    """Build the network without memory and run one batch through it: why this cannot make sense, or None.

    A norm says so with a ValueError when it is called; a ValueError on construction is a wrong setting (ConfigError).
    """
    spec = json.loads(examined) | {"seed": 0, "init": {"scheme": "he", "scale": 1.0}}
    dataset = _dataset(json.dumps(spec["data"], sort_keys=True), datasets[spec["data"]["name"]].cls)
    task = make_task(spec["task"])
    shape = NetworkShape.of(dataset, task)
    try:
        with torch.device("meta"):
            network = build_network(spec, shape, total_steps=1)
    except CannotEnter as error:
        return str(error)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{error} (norm={spec['norm']['name']}, model={registered_name(spec['model'])})") from error
    except Exception:
        return None  # as below: a constructor that reads a value cannot run without memory
    try:
        with torch.no_grad():
            outputs = network.module(shape.example(spec["data"]["batch_size"], "meta"))
    except ValueError as error:
        return str(error)
    except Exception:
        return None  # not every operation runs without memory; a real fault shows in the run, with its traceback
    _check_outputs(spec, outputs, task.output_shape(dataset))
    return None


def _check_outputs(spec: Mapping[str, Any], outputs: Any, wanted: tuple[int, ...]) -> None:
    """Refuse a network whose outputs are not what the task reads. ConfigError."""
    came = tuple(outputs.shape[1:]) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if came != wanted:
        raise ConfigError(
            f"task={spec['task']['name']} on data={spec['data']['name']} needs outputs of shape {wanted} for a sample, and "
            f"model={registered_name(spec['model'])} gives {came}; choose a model that is made for this task"
        )


def _command(overrides: Sequence[str], config_dirs: Sequence[str]) -> str:
    kept = [o for o in overrides if o.lstrip("+~").partition("=")[0].split(".")[0] not in NOT_IN_COMMANDS]
    folders = [part for folder in config_dirs for part in ("--config-dir", folder)]
    return shlex.join(["normlib", "train", *folders, *kept])
