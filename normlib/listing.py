"""What `list` and `train` print: registries with their settings, and single records, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlib.data import datasets
from normlib.experiments.folders import experiment_file, group_files, sweep_params
from normlib.experiments.schema import COMMON, Root
from normlib.models import models
from normlib.norms import norms
from normlib.norms.plain import PlainNorm
from normlib.registry import Entry
from normlib.results.store.record import Record
from normlib.tasks import tasks
from normlib.tasks.metric import Metric, shown
from normlib.training.spec import OPTIMIZERS, SCHEDULES


def show(console: Console, config_dirs: Sequence[str] = ()) -> None:
    """Norms, models, datasets, experiments and all other settings, with defaults."""
    table = _table("norm", "settings and defaults", "statistics over", "paper")
    for entry in norms.entries():
        table.add_row(
            entry.name,
            Text("\n".join(settings_of(entry))),
            Text(_nature(entry)),
            str(entry.metadata.get("paper", "")),
        )
    console.print(table)
    for group, registry in (("model", models), ("data", datasets), ("task", tasks)):
        columns = ["settings and defaults", "what it is", *(["task"] if group == "data" else [])]
        table = _table(group, *columns)
        for entry in registry.entries():
            row = [Text("\n".join(settings_of(entry))), Text(entry.summary.replace("`", ""))]
            if group == "data":
                row.append(Text("any (data.task)" if "task" in entry.settings else entry.cls.task))  # type: ignore[attr-defined]
            table.add_row(entry.name, *row)
        console.print(table)
    arms = group_files("norm", config_dirs)
    if arms:
        console.print(Text(f"arms with settings of their own: {', '.join(f'norm={name}' for name in arms)}\n"))
    table = _table("experiment", "axes")
    for name in group_files("experiment", config_dirs):
        file = experiment_file(name, config_dirs)
        axes = [f"{key}={value}" for key, value in sweep_params(file).items()]
        tuning = [f"tuning.{key}={_plain(value)}" for key, value in (file.get("tuning") or {}).items()]
        table.add_row(name, "\n".join([*axes, *tuning]))
    console.print(table)
    table = _table("other settings", "defaults")
    for group, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        for name, node in choices.items():
            table.add_row(f"{group}={name}", _defaults(node, prefix=f"{group}.", without=("name",)))
    for group, node in COMMON.items():
        table.add_row(f"{group}, any", _defaults(node, prefix=f"{group}."))
    for section in ("site", "init", "training", "evaluation"):
        table.add_row(section, _defaults(type(getattr(Root(), section)), prefix=f"{section}."))
    in_groups = (
        "norm",
        "model",
        "data",
        "task",
        "optimizer",
        "schedule",
        "logger",
        "site",
        "init",
        "training",
        "evaluation",
    )
    table.add_row("run", _defaults(Root, "", without=in_groups))
    table.add_row("logger", Text(f"none  ({'|'.join(group_files('logger', config_dirs))})"))
    console.print(table)


def show_record(console: Console, record: Record, results_dir: str) -> None:
    """One run in a few lines: what it scored, or why it did not."""
    labels = record.labels
    console.print(
        Text(
            f"{record.status}: norm={labels['norm']} model={labels['model']} data={labels['data']} seed={record.spec['seed']}",
            style="bold",
        )
    )
    if record.reason:
        console.print(Text(record.reason))
    metrics = [Metric.from_facts(facts) for facts in record.metric_facts]
    for split, scores in record.metrics.items():
        if not scores:
            continue
        figures = (f"{each.title} {shown(each, scores[each.name])}" for each in metrics if each.name in scores)
        console.print(Text(f"  {split:<11}{', '.join(figures)}"))
    if record.seconds_training is not None:
        console.print(Text(f"  {_work_of(record)}"))
    console.print(Text(f"record: {Path(results_dir) / record.experiment / 'runs' / record.id}.json", style="dim"))


def _work_of(record: Record) -> str:
    """What a run took and how large its network is, as far as the record tells."""
    steps = f"{record.steps} steps in " if record.steps else ""
    said = f"{steps}{record.seconds_training:.2f} s of training"
    if record.parameters:
        said += f"; {record.parameters['trunk']:,} trunk and {record.parameters['norm']:,} norm parameters"
    return said


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def settings_of(entry: Entry) -> list[str]:
    """The settings of a registered class with their defaults, as the command line takes them, and the choices of each."""
    return [
        f"{setting.name}={_plain(setting.default)}" + (f"  ({'|'.join(setting.choices)})" if setting.choices else "")
        for setting in entry.settings.values()
    ]


SLOTS = {"site": "brings its own activation", "weight": "on the layer ahead", "branch": "for residual branches"}


def _nature(entry: Entry) -> str:
    """What a norm takes its statistics over, whether it depends on the batch, and its place where that is not the usual one."""
    cls: Any = entry.cls
    remarks = ["a plain module"] if issubclass(cls, PlainNorm) else []
    try:
        remarks += ["depends on the batch"] if cls.depends_on_batch else []
    except (
        Exception
    ) as error:  # a plain module is tried out, and may raise anything; the others are listed all the same
        remarks.append(f"cannot be used: {error}")
    remarks += [SLOTS[cls.slot]] if cls.slot in SLOTS else []
    over = str(entry.metadata.get("statistics_over", ""))
    return "\n".join(filter(None, [over, f"({'; '.join(remarks)})" if remarks else ""]))


def _defaults(node: type, prefix: str, without: Sequence[str] = ()) -> str:
    values = vars(node())
    return "\n".join(f"{prefix}{key}={_plain(value)}" for key, value in values.items() if key not in without)


def _plain(value: object) -> str:
    """A value as the command line takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace(" ", "") if isinstance(value, list) else str(value)
