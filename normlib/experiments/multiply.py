"""Multiplies axes out into runs: overrides in, one run per combination out, in the order of the axes.

Hydra composes once for each choice of config groups. Single values are then set in the composed settings, checked once
each by the same types. So thousands of runs are planned in seconds, with the ids of Hydra's own multirun. Plans, sorts
and trains nothing.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.types import Glob, Override
from omegaconf import DictConfig, OmegaConf

from normlib.experiments.complaints import ConfigError, clear_errors, unknown_setting
from normlib.experiments.config import Composed, Composer, has_setting, listed_values, set_value
from normlib.experiments.control import CONTROL_OVERRIDE
from normlib.experiments.overrides import text_override
from normlib.experiments.resolve import resolve
from normlib.experiments.settings import SCALARS, SECTIONS, USER_SECTIONS
from normlib.training.spec import Run

MOST_RUNS = 1_000_000  # a slip like seed=range(1e9) must not fill the memory

ADDED_TO = ("logger", "hydra", "experiment")  # a logger takes its own settings

Axes = Mapping[str, Sequence[str]]
"""By key, the overrides that it takes in turn. A fixed value has one."""


@dataclass(frozen=True)
class Value:
    """One value of one setting: the override's text, the key's path, the given value, and the value in the setting's type."""

    text: str
    path: tuple[str, ...]
    given: Any
    typed: Any
    refers: bool  # to another setting


def axes_of(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """Each key with its overrides in turn. A later mention replaces an earlier one. Raises ConfigError for empty axes."""
    axes: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            values = [f"{key}={_as_typed(value, override)}" for value in listed_values(override, MOST_RUNS)]
            if not values:
                raise ConfigError(f"{override.input_line}: the axis is empty; name at least one value")
            axes[key] = list(dict.fromkeys(values))
        else:
            axes[key] = [override.input_line or key]
    return axes


def _as_typed(value: str, override: Override) -> str:
    """A listed value as an override. A glob finds files of any name, which may need quotes."""
    return text_override(value) if isinstance(override.value(), Glob) else value


def check_keys(overrides: Sequence[Override], groups: Container[str]) -> None:
    """Refuse overrides that would silently not reach the runs. Raises ConfigError.

    These are: a sweep over something that is not an axis, a setting that is added or removed, and a config group that
    is chosen twice. If a setting has two values, the later one counts, as always in Hydra.
    """
    first: dict[str, Override] = {}
    for override in overrides:
        _check_key(override)
        group = override.key_or_group
        other = first.setdefault(group, override)
        if group in groups and other.input_line != override.input_line:
            raise ConfigError(
                f"{other.input_line} {override.input_line}: {group} is chosen twice, but only one would count; list the choices "
                f"together, as in {group}=a,b, or leave one out"
            )


def _check_key(override: Override) -> None:
    key, came = override.get_key_element(), override.input_line
    section = key.lstrip("+~").partition(".")[0].partition("/")[0]
    if override.is_sweep_override() and section not in (*SECTIONS, *USER_SECTIONS, *SCALARS):
        raise ConfigError(
            f"{came}: an axis is a setting of the runs, but {section} is one of the whole comparison; give it one value"
        )
    if key.startswith(("+", "~")) and section not in ADDED_TO:
        raise ConfigError(
            f"{came}: every setting already has a value, and none can be added or removed; leave out the {key[: -len(key.lstrip('+~'))]!r}"
        )


def multiply(
    composer: Composer, axes: Axes, config_dirs: Sequence[str] = (), control_of: str | None = None
) -> list[Run]:
    """Every combination as a run. Each run of the arm `control_of` is followed by the control's.

    If a group has several choices, a setting that only some have applies to those, and makes no combinations for the
    others. Raises ConfigError for a setting that no choice has, for values that the settings' types refuse, and for
    more runs than anyone means.
    """
    count = 1
    for texts in axes.values():
        count *= len(texts)
    if count > MOST_RUNS:
        raise ConfigError(
            f"a plan has at most {MOST_RUNS:,} runs, but these axes multiply to {count:,} or more; narrow one of them"
        )
    groups = [key for key in axes if "." not in key and composer.group_choices(key)]
    partial_keys = [key for key in axes if "." in key and len(axes.get(key.partition(".")[0], ())) > 1]
    fixed = [axes[key][0] for key, texts in axes.items() if len(texts) == 1 and key not in (*groups, *partial_keys)]
    partial_fixed = composer.parse([axes[key][0] for key in partial_keys if len(axes[key]) == 1])
    varying = [composer.parse(texts) for key, texts in axes.items() if len(texts) > 1 and key not in groups]
    as_control = composer.parse([CONTROL_OVERRIDE])
    combinations = list(itertools.product(*(axes[key] for key in groups)))
    bases = [composer.compose([*of_groups, *fixed], partial_fixed) for of_groups in combinations]
    _check_own(partial_keys, axes, bases)
    runs = []
    for of_groups, base in zip(combinations, bases, strict=True):
        applicable = [
            *fixed,
            *(str(o.input_line) for o in partial_fixed if has_setting(base.config, o.get_key_element())),
        ]
        varying_here = [
            each
            for each in varying
            if (key := each[0].get_key_element()) not in partial_keys or has_setting(base.config, key)
        ]
        arms: list[list[Value]] = [[]]
        if base.choices["norm"] == control_of and not base.plain["norm"]["gamma_noise"]:
            arms.append(_values(base.config, as_control))
        for values in itertools.product(*(_values(base.config, overrides) for overrides in varying_here)):
            for extra in arms:
                texts = [*of_groups, *(value.text for value in values), *applicable, *(value.text for value in extra)]
                with clear_errors(texts):
                    settings = _with_values(base, [*values, *extra])
                run = resolve(settings, base.choices, texts, config_dirs)
                runs.append(replace(run, control=bool(extra)))
    return runs


def _check_own(keys: Sequence[str], axes: Axes, bases: Sequence[Composed]) -> None:
    """Refuse a setting of a group's choices that none of them has."""
    for key in keys:
        group, _, name = key.partition(".")
        if not any(has_setting(base.config, key) for base in bases):
            known = dict.fromkeys(
                str(each) for base in bases for each in base.config.get(group) or () if each != "name"
            )
            choices = ",".join(text.partition("=")[2] for text in axes[group])
            raise ConfigError(f"{group}={choices}: {unknown_setting(key, name, known)}")


def _values(config: DictConfig, overrides: Sequence[Override]) -> list[Value]:
    """Overrides of one setting, checked by the configuration's types."""
    scratch = copy.deepcopy(config)
    values = []
    for override in overrides:
        key, text = override.get_key_element(), str(override.input_line)
        given = override.value()
        # a mapping is merged into what is there
        changed = copy.deepcopy(config) if isinstance(given, dict) else scratch
        typed = set_value(changed, override)
        if OmegaConf.is_config(typed):
            typed = OmegaConf.to_container(typed, resolve=True)
        values.append(Value(text, tuple(key.split(".")), given, typed, "${" in str(given)))
    return values


def _with_values(base: Composed, values: Sequence[Value]) -> dict[str, Any]:
    """The settings with some values changed, and everything that refers to them updated."""
    if base.interpolated or any(value.refers for value in values):
        config = copy.deepcopy(base.config)
        for value in values:
            key = ".".join(value.path)
            OmegaConf.update(config, key, value.given, merge=True)
        settings = OmegaConf.to_container(config, resolve=True)
        assert isinstance(settings, dict)
        return {str(key): node for key, node in settings.items()}
    changed: dict[str, Any] = {key: dict(node) if isinstance(node, dict) else node for key, node in base.plain.items()}
    for value in values:
        node = changed
        for part in value.path[:-1]:
            node[part] = dict(node[part] or {})  # a copy, so the other runs keep theirs
            node = node[part]
        node[value.path[-1]] = value.typed
    return changed
