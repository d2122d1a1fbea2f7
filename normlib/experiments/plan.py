"""The plan: an experiment's axes multiplied out into runs, with the control and, where it tunes, the trials.

A pure function of overrides and files; trains nothing.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normlib.experiments.complaints import ConfigError
from normlib.experiments.config import DEFAULT_EXPERIMENT, configuration
from normlib.experiments.control import control_of
from normlib.experiments.multiply import axes_of, check_keys, multiply
from normlib.experiments.resolve import LABELLED, forget_datasets, resolve
from normlib.experiments.schema import Root
from normlib.experiments.tuning import Tuning, read_tuning, with_trials
from normlib.experiments.user_code import check_user_code, names_user_code, written_out
from normlib.registry import unknown_name
from normlib.results.axes import as_text, check_two_axes
from normlib.results.columns import arm_label
from normlib.results.quoting import short
from normlib.results.study import check_target
from normlib.tasks.metric import Metric, column_name
from normlib.training.inputs import make_dataset, make_task
from normlib.training.spec import Run

LOGGER_PACKAGES = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb", "MLFlowLogger": "mlflow"}
GROUPS = (*LABELLED, "logger", "experiment")


@dataclass(frozen=True)
class Plan:
    """The runs of one experiment, each once, in the order in which they are worked through, with the common settings.

    `control`: what tables call the control, None where there is none. With `tuning`, `runs` holds the trials and the
    evaluation at the fixed value, and `candidates` evaluation at every other value, of which the trials choose. `metrics`: those of the runs' tasks.
    """

    experiment: str
    runs: tuple[Run, ...]
    axes: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Any]
    control: str | None = None
    tuning: Tuning | None = None
    candidates: tuple[Run, ...] = ()
    metrics: tuple[Metric, ...] = ()

    @property
    def order(self) -> dict[str, list[str]]:
        """The labels and values of each axis in the order in which they were written."""
        return {key: [value.partition("=")[2] for value in values] for key, values in self.axes.items()}


def make_plan(overrides: Sequence[str], config_dirs: Sequence[str] = (), comparison: bool = True) -> Plan:
    """Multiply out the axes of the experiment and of the command line (which replaces the experiment's, key by key).

    `comparison`: what `compare` does; false for Hydra's multirun, which has no default experiment, control or tuning.
    Raises ConfigError for anything that cannot be composed or cannot be a run, before anything is trained.
    """
    forget_datasets()
    overrides = written_out(overrides)
    if (
        comparison
        and not names_user_code(overrides)
        and not any(o.lstrip("+~").startswith("experiment=") for o in overrides)
    ):
        overrides.insert(0, f"experiment={DEFAULT_EXPERIMENT}")
    with configuration(overrides, config_dirs) as composer:
        given = composer.parse(overrides)
        check_keys(given, GROUPS)
        fixed = [text for override, text in zip(given, overrides, strict=True) if not override.is_sweep_override()]
        first = composer.compose(fixed)
        _check_question(first.plain)
        check_user_code(first.plain, [override.get_key_element() for override in given])
        _check_work(first.plain)
        in_file = composer.parse([f"{key}={value}" for key, value in first.sweep_params.items()])
        check_keys(in_file, GROUPS)
        axes = axes_of([*in_file, *given])
        double = control_of(first.plain, swept="norm.gamma_noise" in axes) if comparison else None
        _check_control(double, axes)
        tuning = read_tuning(first.plain["tuning"], first.plain, axes) if comparison else None
        runs, candidates = multiply(composer, axes, config_dirs, double), list[Run]()
        metrics = _metrics(first.plain, runs, comparison)
        _check_labels(runs)
        check_two_axes(first.plain["rows"], first.plain["columns"])
        for name in ("rows", "columns"):
            _check_report_axis(name, first.plain[name], runs)
        _check_baseline(first.plain, runs)
        if tuning is not None:
            runs, candidates = with_trials(tuning, runs, composer, axes, config_dirs, double)
    control = arm_label(str(double)) if any(run.control for run in runs) else None
    sweeps = {key: tuple(values) for key, values in axes.items() if len(values) > 1 or key in first.sweep_params}
    return Plan(runs[0].experiment, _ordered(runs), sweeps, first.plain, control, tuning, _ordered(candidates), metrics)


def _ordered(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Each run once; whole replicates come first, and of each the longest runs, so that no worker is left with one at the end."""
    unique = {run.id: run for run in runs}
    return tuple(sorted(unique.values(), key=lambda run: (run.spec["seed"], -run.planned_steps)))


def _check_question(settings: Mapping[str, Any]) -> None:
    """Refuse a question that no report could answer, before anything is trained for it."""
    rope, target = settings["rope"], settings["target"]
    if rope is not None and not (math.isfinite(rope) and rope >= 0):
        raise ConfigError(
            f"rope is the difference up to which arms are equal for practical purposes, at least 0, got {rope}"
        )
    if target is not None and not math.isfinite(target):
        raise ConfigError(f"target is the figure to reach on validation, a finite number or null, got {target}")


def _metrics(settings: Mapping[str, Any], runs: Sequence[Run], comparison: bool) -> tuple[Metric, ...]:
    """The metrics of the runs' tasks. ConfigError, before anything is trained, for a metric or a target that no report could show."""
    name, known = settings["metric"], dict[Metric, None]()
    if runs[0].sources:  # what a user's own code logs is known once it has run on a batch
        return (Metric(column_name(name)),) if name else ()
    shown: dict[Metric, str] = {}
    for run in {str((run.spec["task"], run.labels["data"])): run for run in runs}.values():
        own = make_task(run.spec["task"]).metrics_on(make_dataset(run.spec["data"]))
        by_name = {metric.name: metric for metric in own}
        if name is not None and name not in by_name:
            raise ConfigError(
                f"metric={name}: {unknown_name('metric of task=' + run.spec['task']['name'], name, by_name)}"
            )
        known |= dict.fromkeys(own)
        shown.setdefault(by_name[name] if name else own[0], f"data={run.labels['data']}")
    if comparison and len(shown) > 1:
        which = ", ".join(f"{metric.name} with {where}" for metric, where in shown.items())
        raise ConfigError(
            f"a comparison shows one metric, and these tasks have different ones ({which}); compare them one by one, or name a "
            "metric that they share with metric=..."
        )
    for metric in shown:
        check_target(settings["target"], metric)
    return tuple(known)


def _check_work(settings: Mapping[str, Any]) -> None:
    """Refuse what could not be worked through, before anything is trained."""
    jobs, logger = settings["jobs"], settings["logger"]
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs is the number of worker processes, at least 1, got {jobs}")
    if not isinstance(logger, Mapping | None) or (logger and "_target_" not in logger):
        raise ConfigError(
            f"logger is one of the config group, csv, tensorboard, wandb, mlflow or none, got {short(logger)}"
        )
    package = LOGGER_PACKAGES.get(str(logger["_target_"]).rpartition(".")[2]) if logger else None
    if package is not None and importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"this logger needs the package {package}, which is not installed: pip install 'normlib[{package}]'"
        )


def _check_labels(runs: Sequence[Run]) -> None:
    """Refuse one run under two labels: it has one record, and only one of the labels would be in the table."""
    first: dict[str, Run] = {}
    for run in runs:
        other = first.setdefault(run.id, run)
        for group, label in run.labels.items():
            if other.labels[group] != label:
                raise ConfigError(
                    f"{group}={other.labels[group]},{label}: the two are one, with the same settings under two names; leave one "
                    "out, or give it settings of its own"
                )


def _check_control(double: str | None, axes: Mapping[str, Sequence[str]]) -> None:
    """Refuse an arm with the name that the control is going to have."""
    if double is not None and f"norm={arm_label(double)}" in axes.get("norm", ()):
        raise ConfigError(
            f"norm={arm_label(double)}: that is the name of the control, which runs {double} a second time; give the arm "
            "another name, or set control=false"
        )


def _check_report_axis(name: str, axis: str, runs: Sequence[Run]) -> None:
    """Refuse a table that could not be made, before anything is trained for it."""
    known = {"accelerator", "threads"}
    for run in {tuple(run.labels.values()): run for run in runs}.values():
        sections = {key: node for key, node in run.spec.items() if isinstance(node, Mapping)}
        known |= {*run.labels, *(f"{key}.{setting}" for key, node in sections.items() for setting in node)}
    if axis not in known:
        raise ConfigError(f"{name}={axis}: {unknown_name('setting', axis, known)}")


def _check_baseline(settings: Mapping[str, Any], runs: Sequence[Run]) -> None:
    """Refuse a baseline that was asked for and is none of the arms, before anything is trained for it."""
    baseline, rows = settings["baseline"], settings["rows"]
    section, _, name = rows.partition(".")
    known = {
        as_text(run.spec[section].get(name)) if name else run.labels.get(rows, as_text(run.spec.get(rows)))
        for run in runs
    }
    if baseline != Root().baseline and as_text(baseline) not in known:
        raise ConfigError(f"baseline={baseline}: {unknown_name(f'row ({rows})', str(baseline), known)}")


def make_run(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> tuple[Run, dict[str, Any]]:
    """One run and all its settings. Raises ConfigError for what cannot be, and for sweeps, which need -m."""
    forget_datasets()
    overrides = written_out(overrides)
    with configuration(overrides, config_dirs) as composer:
        given = composer.parse(overrides)
        check_keys(given, GROUPS)
        sweeps = [o.input_line for o in given if o.is_sweep_override()]
        if sweeps:
            raise ConfigError(
                f"train makes one run, and {sweeps[0]} names several: use `normlib train -m` or `normlib compare`"
            )
        composed = composer.compose(overrides)
        _check_work(composed.plain)
        check_user_code(composed.plain, [override.get_key_element() for override in given])
        return resolve(composed.plain, composed.choices, list(overrides), config_dirs), composed.plain
