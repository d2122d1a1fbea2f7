"""The rules for the settings of every run: a spec in, nothing out, or a ConfigError with the rule and the fix.

Builds nothing. What a norm or a model refuses about its own settings is not known here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from normlib.data.dataset import Dataset
from normlib.experiments.complaints import ConfigError
from normlib.experiments.settings import settings_without_classes
from normlib.naming import unknown_name
from normlib.norms import norms
from normlib.results.store.quoting import short
from normlib.settings import Setting
from normlib.training.budget import planned_steps
from normlib.training.environment import resolve_accelerator

LARGEST = 2**63 - 1
"""The largest whole number in a record."""
MOST_STEPS = 100_000_000  # each has a learning rate, and all are computed before the first step


def check(spec: Mapping[str, Any], dataset: Dataset) -> None:
    """Refuse settings that no run can have. Raises ConfigError with the rule, what came and the fix."""
    check_norm(spec)
    data, training, site, evaluation = spec["data"], spec["training"], spec["site"], spec["evaluation"]
    num_train = dataset.sizes["train"]
    _require(
        1 <= data["batch_size"] <= num_train,
        f"data.batch_size is at least 1 and at most the {num_train} training samples of {data['name']}, got {data['batch_size']}",
    )
    accumulate, clip = training["accumulate"], training["gradient_clip"]
    _require(
        1 <= accumulate <= num_train // data["batch_size"],
        f"training.accumulate is the batches that make one update, at least 1, and an epoch has {num_train // data['batch_size']} "
        f"batches, got {accumulate}",
    )
    _require(
        clip is None or clip > 0,
        f"training.gradient_clip is the largest norm of the gradients, above 0, or null, got {clip}",
    )
    _require(data["split_seed"] >= 0, f"data.split_seed is at least 0, got {data['split_seed']}")
    _require(
        training["steps"] is not None or training["epochs"] is not None,
        "a run needs a budget, but training.epochs and training.steps are both null: set one of them",
    )
    for name in ("epochs", "steps"):
        _require(training[name] is None or training[name] >= 1, f"training.{name} is at least 1, got {training[name]}")
    steps = planned_steps(spec, num_train)
    _require(
        steps <= MOST_STEPS, f"a run has at most {MOST_STEPS:,} optimizer steps, and these settings make {short(steps)}"
    )
    _require(
        0 <= site["dropout"] < 1,
        f"site.dropout is the share of values dropped, from 0 to below 1, got {site['dropout']}",
    )
    _check_evaluation(evaluation)
    warmup = spec["schedule"].get("warmup", 0.0)
    _require(0 <= warmup < 1, f"schedule.warmup is a share of the run, from 0 to below 1, got {warmup}")
    optimizer = spec["optimizer"]
    for name in ("lr", "weight_decay"):
        _require(optimizer[name] >= 0, f"optimizer.{name} is not negative, got {optimizer[name]}")
    for name in ("momentum", "beta1", "beta2"):
        value = optimizer.get(name, 0.0)
        _require(0 <= value < 1, f"optimizer.{name} is the weight of the past, from 0 to below 1, got {value}")
    if data["flip"] or data["crop"]:
        _require(
            len(dataset.input_shape) == 3 and data["crop"] >= 0,
            f"data.flip and data.crop (at least 0) are for images (C, H, W), but {data['name']} has inputs of shape "
            f"{tuple(dataset.input_shape)} and data.crop={data['crop']}",
        )


def check_norm(spec: Mapping[str, Any]) -> None:
    """Refuse settings of the norm and its sites that no run can have, whatever trains it. Raises ConfigError."""
    for key, setting in _closed_settings().items():
        section, _, name = key.partition(".")
        if name in spec.get(section, ()) and not setting.allows(spec[section][name]):
            null = ("null",) if setting.allows(None) else ()
            raise ConfigError(unknown_name(f"value of {key}", str(spec[section][name]), (*setting.choices, *null)))
    for key, value in _numbers(spec):
        if isinstance(value, float):
            rule = f"{key} is a finite number, because neither training nor records can hold {value}"
            _require(math.isfinite(value), rule)
        else:
            _require(abs(value) <= LARGEST, f"{key} is a whole number of at most 64 bits, got {short(value)}")
    noise = spec["norm"]["gamma_noise"]
    _require(noise >= 0, f"norm.gamma_noise is the size of noise on the scales, at least 0, got {noise}")
    batches = spec["norm"]["fit_on_batches"]
    _require(batches >= 0, f"norm.fit_on_batches is a number of batches, at least 0, got {batches}")
    _check_slots(spec["norm"])
    _require(spec["threads"] >= 1, f"threads is at least 1, got {spec['threads']}")
    if (site := spec.get("site")) is None:
        return
    batch_size = spec["data"]["batch_size"]
    _require(batch_size is None or batch_size >= 1, f"data.batch_size is at least 1, got {batch_size}")
    group = site["norm_batch_size"]
    _require(
        group is None or (group >= 1 and (batch_size is None or group <= batch_size)),
        f"site.norm_batch_size is at least 1 and at most data.batch_size ({batch_size}), because statistics cannot "
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


@functools.cache
def _closed_settings() -> dict[str, Setting]:
    """The settings of a run's sections that have few values, by key."""
    return {each.key: each.setting for each in settings_without_classes() if each.setting.choices and "." in each.key}


@functools.cache
def known_accelerator(name: str) -> str:
    """The device that a name stands for on this machine. Raises ConfigError."""
    try:
        return resolve_accelerator(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def check_seed(seed: int) -> None:
    """Refuse a seed that no record can hold. Raises ConfigError."""
    rule = f"seed is a whole number from 0 to 2**63 - 1, the largest of 64 bits, got {short(seed)}"
    _require(0 <= seed <= LARGEST, rule)


def _check_evaluation(evaluation: Mapping[str, Any]) -> None:
    """Refuse evaluations without points or samples, and weighed statistics without their share."""
    for name in ("points", "batch_size", "precise_samples"):
        _require(evaluation[name] >= 1, f"evaluation.{name} is at least 1, got {evaluation[name]}")
    statistics, own_weight = evaluation["statistics"], evaluation["own_weight"]
    _require(
        own_weight is None or 0 <= own_weight <= 1,
        f"evaluation.own_weight is the share of a sample's own moments, from 0 to 1, got {own_weight}",
    )
    _require(
        statistics != "weighed" or own_weight is not None,
        "evaluation.statistics=weighed needs evaluation.own_weight, the share of a sample's own moments, chosen on validation: "
        "compare some, evaluation.own_weight=0,0.01,0.1,0.5",
    )
    _require(
        statistics != "batch" or evaluation["batch_size"] >= 3,
        "evaluation.statistics=batch normalizes with the statistics of the evaluation batch. Batches of less than 3 may leave "
        "a single sample, which has none; set evaluation.batch_size to 3 or more",
    )


def _check_slots(norm: Mapping[str, Any]) -> None:
    """Refuse norms that cannot be an arm, and `weights` that is not a method on weights."""
    cls: Any = norms[norm["name"]].cls
    _require(not cls.not_an_arm, f"norm={norm['name']} cannot be an arm of a comparison: {cls.not_an_arm}")
    if norm["weights"] is not None:
        on_weights = [entry.name for entry in norms.entries() if entry.cls.slot == "weight"]  # type: ignore[attr-defined]
        _require(norm["weights"] in on_weights, unknown_name("method on weights", norm["weights"], on_weights))
        _require(
            cls.slot != "weight",
            f"norm={norm['name']} works on weights itself, so norm.weights={norm['weights']} would be a second such method; "
            "leave one out",
        )


def _numbers(spec: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every number among the settings with its key."""
    for section, node in spec.items():
        for key, value in node.items() if isinstance(node, Mapping) else (("", node),):
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, int | float):
                    yield ".".join(filter(None, (section, key))), each


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ConfigError(rule)
