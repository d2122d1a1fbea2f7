"""What a plan refuses before training: questions without an answer, impossible tables, one run under two names.

In: the settings, axes and runs of a plan. Out: nothing, or facts of the future report, or ConfigError and ReportError.
Composes no run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from normlib.experiments.complaints import ConfigError
from normlib.experiments.multiply import Axes
from normlib.experiments.settings import SCALARS, Root
from normlib.naming import unknown_name
from normlib.results.contents import check_width
from normlib.results.store.columns import SEED, arm_label
from normlib.results.store.frame import frame
from normlib.results.store.quoting import short
from normlib.results.store.record import SKIPPED
from normlib.results.study.axes import as_text, places
from normlib.results.study.question import Question, check_target
from normlib.tasks.metric import Metric, column_name
from normlib.training.inputs import make_dataset, make_task
from normlib.training.outcome import unfinished
from normlib.training.spec import Run

LOGGER_PACKAGES = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb", "MLFlowLogger": "mlflow"}


def check_question(settings: Mapping[str, Any]) -> None:
    """Refuse a question that no report could answer, and impossible figures. Raises ReportError."""
    check_width(settings["figures"]["width"])
    Question(rope=settings["rope"], target=settings["target"])


def shown_metrics(settings: Mapping[str, Any], runs: Sequence[Run], comparison: bool) -> tuple[Metric, ...]:
    """The metrics of the runs' tasks. Raises ConfigError for a metric or a target that no report could show."""
    name, known = settings["metric"], dict[Metric, None]()
    if runs[0].sources:  # the figures of a user's own code are known once it has run on a batch
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
            f"a comparison shows one metric, but these tasks have different ones ({which}); compare them one by one, or name a "
            "metric that they share with metric=..."
        )
    for metric in shown:
        check_target(settings["target"], metric)
    return tuple(known)


def check_work(settings: Mapping[str, Any]) -> None:
    """Refuse impossible settings of the work, before anything is trained."""
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


def check_labels(runs: Sequence[Run]) -> None:
    """Refuse one run under two labels: it has one record, and only one of the labels would be in the table."""
    first: dict[str, Run] = {}
    for run in runs:
        other = first.setdefault(run.id, run)
        for group, label in run.labels.items():
            if other.labels[group] != label:
                raise ConfigError(
                    f"{group}={other.labels[group]},{label}: these are the same settings under two names; leave one "
                    "out, or give it settings of its own"
                )


def check_control(double: str | None, axes: Mapping[str, Sequence[str]]) -> None:
    """Refuse an arm with the name that the control will have."""
    if double is not None and f"norm={arm_label(double)}" in axes.get("norm", ()):
        raise ConfigError(
            f"norm={arm_label(double)}: that is the name of the control, which runs {double} a second time; give the arm "
            "another name, or set control=false"
        )


def check_report_axis(name: str, axis: str, runs: Sequence[Run]) -> None:
    """Refuse a table that could not be made, before anything is trained for it."""
    known = set(SCALARS) - {SEED}
    for run in {tuple(run.labels.values()): run for run in runs}.values():
        sections = {key: node for key, node in run.spec.items() if isinstance(node, Mapping)}
        known |= {*run.labels, *(f"{key}.{setting}" for key, node in sections.items() for setting in node)}
    if axis not in known:
        raise ConfigError(f"{name}={axis}: {unknown_name('setting', axis, known)}")


def row_labels(settings: Mapping[str, Any], axes: Axes, runs: Sequence[Run]) -> frozenset[str]:
    """The labels that the rows of the tables will have."""
    rows, columns = settings["rows"], settings["columns"]
    section, _, name = rows.partition(".")
    if any(key.startswith(f"{rows}.") and len(texts) > 1 for key, texts in axes.items()):  # one label, several rows
        return frozenset(places(frame([unfinished(run, SKIPPED, "") for run in runs]), rows, columns).row_labels)
    return frozenset(
        as_text(run.spec[section].get(name)) if name else run.labels.get(rows, as_text(run.spec.get(rows)))
        for run in runs
    )


def check_baseline(settings: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a requested baseline that is not a row of the tables, before anything is trained for it."""
    baseline, rows = settings["baseline"], settings["rows"]
    if baseline != Root().baseline and as_text(baseline) not in known:
        raise ConfigError(f"baseline={baseline}: {unknown_name(f'row ({rows})', str(baseline), known)}")
