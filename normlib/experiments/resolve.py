"""One configuration to one run: the checks, the spec, its id, and the command that makes it again.

Builds networks only on the meta device, without memory, to learn what a norm or a model refuses.
"""

from __future__ import annotations

import functools
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from normlib.data import datasets
from normlib.data.dataset import Dataset
from normlib.experiments.config import NO_EXPERIMENT, ConfigError
from normlib.models import models
from normlib.norms import norms
from normlib.registry import unknown_name
from normlib.training import source
from normlib.training.environment import resolve_accelerator
from normlib.training.inputs import make_dataset
from normlib.training.network import build_network
from normlib.training.spec import CHOICES, SCALARS, SECTIONS, Run, planned_steps, run_id

TRAINING_FILES = (
    "data/dataset.py", "models/site.py", "training/batches.py", "training/inputs.py", "training/module.py",
    "training/network.py", "training/run.py", "training/schedule.py", "training/seeding.py", "training/spec.py",
)  # fmt: skip
LABELLED = ("norm", "model", "data", "optimizer", "schedule")
NOT_IN_COMMANDS = (
    "results_dir",
    "jobs",
    "retry_failed",
    "rows",
    "columns",
    "baseline",
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
    spec = {section: dict(plain[section]) for section in SECTIONS} | {key: plain[key] for key in SCALARS}
    if spec["training"]["steps"] is not None:
        spec["training"]["epochs"] = None
    classes = norms[spec["norm"]["name"]].cls, models[spec["model"]["name"]].cls, datasets[spec["data"]["name"]].cls
    dataset = _dataset(json.dumps(spec["data"], sort_keys=True), classes[2])
    check(spec, dataset)
    spec["accelerator"] = _accelerator(spec["accelerator"])
    total_steps = planned_steps(spec, dataset.sizes["train"])
    code = _code(*classes)
    labels = {group: str(choices.get(group) or spec[group]["name"]) for group in LABELLED}
    examined = {section: spec[section] for section in ("norm", "model", "data", "site")}
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
        skip_reason=_examine(json.dumps(examined, sort_keys=True), classes),
        planned_steps=total_steps,
    )


def check(spec: Mapping[str, Any], dataset: Dataset) -> None:
    """Refuse settings that no run can have. Raises ConfigError that states the rule, what came and the fix."""
    for key, known in CHOICES.items():
        section, _, name = key.partition(".")
        if spec[section][name] not in known:
            raise ConfigError(unknown_name(f"value of {key}", str(spec[section][name]), known))
    for key, value in _numbers(spec):
        _require(
            math.isfinite(value), f"{key} is a finite number, because neither training nor records can hold {value}"
        )
    data, training, site, evaluation = spec["data"], spec["training"], spec["site"], spec["evaluation"]
    num_train = dataset.sizes["train"]
    _require(
        1 <= data["batch_size"] <= num_train,
        f"data.batch_size is at least 1 and at most the {num_train} training samples of {data['name']}, got {data['batch_size']}",
    )
    _require(data["split_seed"] >= 0, f"data.split_seed is at least 0, got {data['split_seed']}")
    _require(
        training["steps"] is not None or training["epochs"] is not None,
        "a run needs a budget, but training.epochs and training.steps are both null: set one of them",
    )
    for name in ("epochs", "steps"):
        _require(training[name] is None or training[name] >= 1, f"training.{name} is at least 1, got {training[name]}")
    _require(
        0 <= site["dropout"] < 1,
        f"site.dropout is the share of values dropped, from 0 to below 1, got {site['dropout']}",
    )
    group = site["norm_batch_size"]
    _require(
        group is None or 1 <= group <= data["batch_size"],
        f"site.norm_batch_size is at least 1 and at most data.batch_size ({data['batch_size']}), because statistics cannot "
        f"be taken over more samples than a batch holds; got {group}",
    )
    _require(
        site["horizon"] is None or site["horizon"] >= 1, f"site.horizon is at least 1 sample, got {site['horizon']}"
    )
    momentum = norms[spec["norm"]["name"]].settings.get("momentum")
    _require(
        site["horizon"] is None or momentum is None or spec["norm"]["momentum"] == momentum.default,
        f"site.horizon={site['horizon']} sets the momentum of running averages, so norm.momentum cannot be set as well; got "
        f"norm.momentum={spec['norm'].get('momentum')}: add site.horizon=null, or leave norm.momentum out",
    )
    for name in ("points", "batch_size"):
        _require(evaluation[name] >= 1, f"evaluation.{name} is at least 1, got {evaluation[name]}")
    warmup = spec["schedule"].get("warmup", 0.0)
    _require(0 <= warmup < 1, f"schedule.warmup is a share of the run, from 0 to below 1, got {warmup}")
    optimizer = spec["optimizer"]
    for name in ("lr", "weight_decay"):
        _require(optimizer[name] >= 0, f"optimizer.{name} is not negative, got {optimizer[name]}")
    for name in ("momentum", "beta1", "beta2"):
        value = optimizer.get(name, 0.0)
        _require(0 <= value < 1, f"optimizer.{name} is the weight of the past, from 0 to below 1, got {value}")
    noise = spec["norm"]["gamma_noise"]
    _require(noise >= 0, f"norm.gamma_noise is the size of noise on the scales, at least 0, got {noise}")
    _require(spec["threads"] >= 1, f"threads is at least 1, got {spec['threads']}")
    if data["flip"] or data["crop"]:
        _require(
            len(dataset.input_shape) == 3 and data["crop"] >= 0,
            f"data.flip and data.crop (at least 0) are for images (C, H, W), but {data['name']} has inputs of shape "
            f"{tuple(dataset.input_shape)} and data.crop={data['crop']}",
        )


def _numbers(spec: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every floating-point setting with its key."""
    for section, node in spec.items():
        for name, value in node.items() if isinstance(node, Mapping) else ():
            if isinstance(value, float):
                yield f"{section}.{name}", value


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ConfigError(rule)


@functools.lru_cache(maxsize=1024)
def _dataset(data: str, cls: type) -> Dataset:
    """The dataset of a spec; `cls` is only there so that an edited plugin, loaded again, is not answered from the cache."""
    try:
        return make_dataset(json.loads(data))
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error


@functools.cache
def _accelerator(name: str) -> str:
    try:
        return resolve_accelerator(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error


@functools.lru_cache(maxsize=1024)
def _code(norm: type, model: type, data: type) -> dict[str, str]:
    return {
        "norm": source.class_hash(norm),
        "model": source.class_hash(model),
        "data": source.class_hash(data),
        "training": source.files_hash(TRAINING_FILES),
    }


@functools.lru_cache(maxsize=65536)
def _examine(examined: str, classes: tuple[type, ...]) -> str | None:
    """Build the network without memory and run one batch through it: why this cannot make sense, or None.

    A norm says so with a ValueError when it is called; a ValueError on construction is a wrong setting (ConfigError).
    `classes` are the norm's, the model's and the dataset's, for the cache: an edited plugin is examined again.
    """
    spec = json.loads(examined) | {"seed": 0, "init": {"scheme": "he", "scale": 1.0}}
    classes = norms[spec["norm"]["name"]].cls, models[spec["model"]["name"]].cls, datasets[spec["data"]["name"]].cls
    dataset = _dataset(json.dumps(spec["data"], sort_keys=True), classes[2])
    try:
        with torch.device("meta"):
            network = build_network(spec, tuple(dataset.input_shape), dataset.num_classes, total_steps=1)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{error} (norm={spec['norm']['name']}, model={spec['model']['name']})") from error
    except Exception:
        return None  # as below: a constructor that reads a value cannot run without memory
    try:
        with torch.no_grad():
            network.module(torch.empty(spec["data"]["batch_size"], *dataset.input_shape, device="meta"))
    except ValueError as error:
        return str(error)
    except Exception:
        return None  # not every operation runs without memory; a real fault shows in the run, with its traceback
    return None


def _command(overrides: Sequence[str], config_dirs: Sequence[str]) -> str:
    kept = [o for o in overrides if o.lstrip("+~").partition("=")[0].split(".")[0] not in NOT_IN_COMMANDS]
    folders = [part for folder in config_dirs for part in ("--config-dir", folder)]
    return shlex.join(["normlib", "train", *folders, *kept])
