"""The plan: an experiment's axes multiplied out into runs. A pure function of overrides and files; trains nothing.

Hydra composes once for each choice of config groups; single values are then set in the composed settings, checked
once each by the same types, so that thousands of runs are planned in seconds and with the ids that Hydra's own
multirun would give them.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from normlib.experiments.config import DEFAULT_EXPERIMENT, Composer, ConfigError, clear_errors, configuration
from normlib.experiments.resolve import resolve
from normlib.registry import unknown_name
from normlib.training.spec import Run

MOST_RUNS = 1_000_000  # a slip like seed=range(1e9) must not eat the memory


@dataclass(frozen=True)
class Plan:
    """The runs of one experiment, each once, in the order in which they are worked through, with the common settings."""

    experiment: str
    runs: tuple[Run, ...]
    axes: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Any]

    @property
    def order(self) -> dict[str, list[str]]:
        """The labels and values of each axis in the order in which they were written."""
        return {key: [value.partition("=")[2] for value in values] for key, values in self.axes.items()}


def make_plan(overrides: Sequence[str], config_dirs: Sequence[str] = (), default_experiment: bool = True) -> Plan:
    """Multiply out the axes of the experiment and of the command line (which replaces the experiment's, key by key).

    Raises ConfigError for anything that cannot be composed or cannot be a run, before anything is trained.
    """
    overrides = list(overrides)
    if default_experiment and not any(o.lstrip("+~").startswith("experiment=") for o in overrides):
        overrides.insert(0, f"experiment={DEFAULT_EXPERIMENT}")
    with configuration(overrides, config_dirs) as composer:
        given = composer.parse(overrides)
        fixed = [text for override, text in zip(given, overrides, strict=True) if not override.is_sweep_override()]
        _check_one_experiment(given)
        first = composer.compose(fixed)
        in_file = composer.parse([f"{key}={value}" for key, value in first.sweep_params.items()])
        axes = _axes([*in_file, *given])
        count = 1
        for values in axes.values():
            count *= len(values)
        if count > MOST_RUNS:
            raise ConfigError(
                f"a plan has at most {MOST_RUNS:,} runs, but these axes multiply to {count:,} or more; narrow one of them"
            )
        runs = _multiply(composer, axes, config_dirs)
    for name in ("rows", "columns"):
        _check_report_axis(name, first.plain[name], runs)
    unique = {run.id: run for run in runs}
    sweeps = {key: tuple(values) for key, values in axes.items() if len(values) > 1 or key in first.sweep_params}
    ordered = sorted(unique.values(), key=lambda run: (run.spec["seed"], -run.planned_steps))
    return Plan(runs[0].experiment, tuple(ordered), sweeps, first.plain)


def _check_one_experiment(given: Sequence[Override]) -> None:
    """Refuse several experiments at once: each has axes, a folder and a table of its own."""
    for override in given:
        if override.get_key_element() == "experiment" and override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line}: a plan is made of one experiment, whose axes it multiplies out; give them one after the other"
            )


def _check_report_axis(name: str, axis: str, runs: Sequence[Run]) -> None:
    """Refuse a table that could not be made, before anything is trained for it."""
    known = {"accelerator", "threads"}
    for run in {tuple(run.labels.values()): run for run in runs}.values():
        sections = {key: node for key, node in run.spec.items() if isinstance(node, Mapping)}
        known |= {*run.labels, *(f"{key}.{setting}" for key, node in sections.items() for setting in node)}
    if axis not in known:
        raise ConfigError(f"{name}={axis}: {unknown_name('setting', axis, known)}")


def make_run(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> tuple[Run, dict[str, Any]]:
    """One run and all its settings. Raises ConfigError for what cannot be, and for sweeps, which need -m."""
    with configuration(overrides, config_dirs) as composer:
        sweeps = [o.input_line for o in composer.parse(overrides) if o.is_sweep_override()]
        if sweeps:
            raise ConfigError(
                f"train makes one run, and {sweeps[0]} names several: use `normlib train -m` or `normlib compare`"
            )
        composed = composer.compose(overrides)
        return resolve(composed.plain, composed.choices, list(overrides), config_dirs), composed.plain


def _axes(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """Each key with the overrides it takes in turn, one for a fixed value; a later mention replaces an earlier one."""
    axes: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise ConfigError(
                    f"{override.input_line}: a plan needs listed values; use a,b,c or range(...) or glob(...) or choice(...)"
                )
            listed = itertools.islice(override.sweep_string_iterator(), MOST_RUNS + 1)
            values = [f"{key}={value}" for value in listed]
            if not values:
                raise ConfigError(f"{override.input_line}: the axis is empty; name at least one value")
            axes[key] = list(dict.fromkeys(values))
        else:
            axes[key] = [override.input_line or key]
    return axes


def _multiply(composer: Composer, axes: Mapping[str, list[str]], config_dirs: Sequence[str]) -> list[Run]:
    groups = [key for key in axes if composer.group_choices(key)]
    fixed = [key for key, values in axes.items() if len(values) == 1 and key not in groups]
    varying = [key for key, values in axes.items() if len(values) > 1 and key not in groups]
    fixed_overrides = [axes[key][0] for key in fixed]
    parsed = {key: composer.parse(axes[key]) for key in varying}
    runs = []
    for group_overrides in itertools.product(*(axes[key] for key in groups)):
        base = composer.compose([*group_overrides, *fixed_overrides])
        setters = {key: _setters(base.config, overrides) for key, overrides in parsed.items()}
        for values in itertools.product(*(setters[key] for key in varying)):
            texts = [text for text, _, _ in values]
            everything = [*group_overrides, *texts, *fixed_overrides]
            if base.interpolated:
                composed = composer.compose(everything)
                plain, choices = composed.plain, composed.choices
            else:
                plain, choices = _with_values(base.plain, values), base.choices
            runs.append(resolve(plain, choices, everything, config_dirs))
    return runs


def _setters(config: DictConfig, overrides: Sequence[Override]) -> list[tuple[str, tuple[str, ...], Any]]:
    """Overrides of one setting, checked by the configuration's types: the text, the path and the typed value of each."""
    own = copy.deepcopy(config)
    setters = []
    for override in overrides:
        key, text = override.get_key_element(), str(override.input_line)
        given = override.value()
        changed = copy.deepcopy(config) if isinstance(given, dict) else own  # a mapping is merged into what is there
        with clear_errors([text]):
            if key.startswith(("+", "~")):
                raise ConfigError(f"{text}: an axis changes a setting that exists; leave out the {key[0]!r}")
            try:
                OmegaConf.update(changed, key, given, merge=True)
                value = OmegaConf.select(changed, key, throw_on_missing=True)
            except OmegaConfBaseException as error:
                raise ConfigError(f"{text}: {str(error).splitlines()[0]}") from error
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
        setters.append((text, tuple(key.split(".")), value))
    return setters


def _with_values(plain: Mapping[str, Any], values: Sequence[tuple[str, tuple[str, ...], Any]]) -> dict[str, Any]:
    changed: dict[str, Any] = {key: dict(node) if isinstance(node, dict) else node for key, node in plain.items()}
    for _, path, value in values:
        node = changed
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = value
    return changed
