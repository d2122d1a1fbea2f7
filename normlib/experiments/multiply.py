"""Axes multiplied out into runs: overrides in, one run for each combination out, in the order of the axes.

Hydra composes once for each choice of config groups; single values are then set in the composed settings, checked
once each by the same types, so that thousands of runs are planned in seconds and with the ids that Hydra's own
multirun would give them. Plans, sorts and trains nothing.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from normlib.experiments.complaints import ConfigError, clear_errors
from normlib.experiments.config import Composed, Composer, listed_values
from normlib.experiments.control import CONTROL_OVERRIDE, control_label
from normlib.experiments.resolve import resolve
from normlib.training.spec import SCALARS, SECTIONS, USER_SECTIONS, Run

MOST_RUNS = 1_000_000  # a slip like seed=range(1e9) must not eat the memory

ADDED_TO = ("logger", "hydra", "experiment")  # a logger takes settings of its own

Axes = Mapping[str, Sequence[str]]
"""For each key the overrides that it takes in turn; one for a fixed value."""


@dataclass(frozen=True)
class Value:
    """One value of one setting: the override's text, the key's path, the value as given and as the settings' type has it."""

    text: str
    path: tuple[str, ...]
    given: Any
    typed: Any
    refers: bool  # to another setting


def axes_of(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """Each key with the overrides it takes in turn; a later mention replaces an earlier one. ConfigError for empty axes."""
    axes: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            values = [f"{key}={value}" for value in listed_values(override, MOST_RUNS)]
            if not values:
                raise ConfigError(f"{override.input_line}: the axis is empty; name at least one value")
            axes[key] = list(dict.fromkeys(values))
        else:
            axes[key] = [override.input_line or key]
    return axes


def check_keys(overrides: Sequence[Override], groups: Container[str]) -> None:
    """Refuse what would not reach the runs, in silence. ConfigError.

    That is a sweep over what is no axis, a setting that is added or taken away, and one of two mentions of a config group;
    of two values of a setting the later one counts, as everywhere in Hydra.
    """
    first: dict[str, Override] = {}
    for override in overrides:
        _check_key(override)
        group = override.key_or_group
        other = first.setdefault(group, override)
        if group in groups and other.input_line != override.input_line:
            raise ConfigError(
                f"{other.input_line} {override.input_line}: {group} is chosen twice, and only one would count; list the choices "
                f"behind one, as in {group}=a,b, or leave one out"
            )


def _check_key(override: Override) -> None:
    key, came = override.get_key_element(), override.input_line
    section = key.lstrip("+~").partition(".")[0].partition("/")[0]
    if override.is_sweep_override() and section not in (*SECTIONS, *USER_SECTIONS, *SCALARS):
        raise ConfigError(
            f"{came}: an axis is a setting of the runs, and {section} is one of the whole comparison; give it one value"
        )
    if key.startswith(("+", "~")) and section not in ADDED_TO:
        raise ConfigError(
            f"{came}: every setting there is has a value, and none can be added or taken away; leave out the {key[: -len(key.lstrip('+~'))]!r}"
        )


def multiply(
    composer: Composer, axes: Axes, config_dirs: Sequence[str] = (), control_of: str | None = None
) -> list[Run]:
    """Every combination as a run; behind each run of the arm `control_of`, the control's.

    Raises ConfigError for values that the settings' types refuse and for more runs than anyone means.
    """
    count = 1
    for texts in axes.values():
        count *= len(texts)
    if count > MOST_RUNS:
        raise ConfigError(
            f"a plan has at most {MOST_RUNS:,} runs, but these axes multiply to {count:,} or more; narrow one of them"
        )
    groups = [key for key in axes if "." not in key and composer.group_choices(key)]
    fixed = [axes[key][0] for key, texts in axes.items() if len(texts) == 1 and key not in groups]
    varying = [composer.parse(texts) for key, texts in axes.items() if len(texts) > 1 and key not in groups]
    as_control = composer.parse([CONTROL_OVERRIDE])
    runs = []
    for of_groups in itertools.product(*(axes[key] for key in groups)):
        base = composer.compose([*of_groups, *fixed])
        arms: list[list[Value]] = [[]]
        if base.choices["norm"] == control_of and not base.plain["norm"]["gamma_noise"]:
            arms.append(_values(base.config, as_control))
        for values in itertools.product(*(_values(base.config, overrides) for overrides in varying)):
            for extra in arms:
                texts = [*of_groups, *(value.text for value in values), *fixed, *(value.text for value in extra)]
                with clear_errors(texts):
                    settings = _with_values(base, [*values, *extra])
                run = resolve(settings, base.choices, texts, config_dirs)
                if extra:
                    run = replace(run, labels={**run.labels, "norm": control_label(run.labels["norm"])})
                runs.append(run)
    return runs


def _values(config: DictConfig, overrides: Sequence[Override]) -> list[Value]:
    """Overrides of one setting, checked by the configuration's types."""
    own = copy.deepcopy(config)
    values = []
    for override in overrides:
        key, text = override.get_key_element(), str(override.input_line)
        given = override.value()
        changed = copy.deepcopy(config) if isinstance(given, dict) else own  # a mapping is merged into what is there
        with clear_errors([text]):
            try:
                OmegaConf.update(changed, key, given, merge=True)
                typed = OmegaConf.select(changed, key, throw_on_missing=True)
            except OmegaConfBaseException as error:
                raise ConfigError(f"{text}: {str(error).splitlines()[0]}") from error
        if OmegaConf.is_config(typed):
            typed = OmegaConf.to_container(typed, resolve=True)
        values.append(Value(text, tuple(key.split(".")), given, typed, "${" in str(given)))
    return values


def _with_values(base: Composed, values: Sequence[Value]) -> dict[str, Any]:
    """The settings with some values changed, and with what refers to them following."""
    if base.interpolated or any(value.refers for value in values):
        config = copy.deepcopy(base.config)
        for value in values:
            OmegaConf.update(config, ".".join(value.path), value.given, merge=True)
        settings = OmegaConf.to_container(config, resolve=True)
        assert isinstance(settings, dict)
        return {str(key): node for key, node in settings.items()}
    changed: dict[str, Any] = {key: dict(node) if isinstance(node, dict) else node for key, node in base.plain.items()}
    for value in values:
        node = changed
        for part in value.path[:-1]:
            node = node[part]
        node[value.path[-1]] = value.typed
    return changed
