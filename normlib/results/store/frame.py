"""Turns records into one tidy pandas frame: one row per run, one column per fact. `runs.csv` holds this.

In: records. Out: a frame whose columns are settings (a label for each config group, then every key of the spec, such as
`data.batch_size`) and results (`status`, `test.accuracy`, `seconds_per_step`, ...). Figures of % metrics are fractions;
lists are JSON text. The control has its own label among the norms (`columns.arm_label`), so no mean mixes it with the
baseline. This file never averages or judges, and only drops runs that a newer version of the code has superseded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normlib.results.store.columns import (
    ARM,
    LISTS,
    LOOKS,
    MACHINE,
    METRIC_FACTS,
    RESULT_GROUPS,
    SCALARS_AHEAD,
    SCALARS_BEHIND,
    arm_label,
    is_setting,
)
from normlib.results.store.record import Record


def latest(records: Iterable[Record]) -> tuple[list[Record], int]:
    """Keep the newest record of each spec, in the order given. The second value counts the superseded records.

    Two records share a spec if the code (an edited norm) or the data's version changed between their runs. If merged
    machines contradict each other, a record supersedes only those of its own machine.
    """
    records = list(records)
    newest: dict[str, Record] = {}
    for record in records:
        key = json.dumps([record.spec, record.labels.get(MACHINE)], sort_keys=True)
        rival = newest.get(key)
        if rival is None or (record.started, record.id) > (rival.started, rival.id):
            newest[key] = record
    kept = {id(record) for record in newest.values()}
    return [record for record in records if id(record) in kept], len(records) - len(kept)


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row for each record that `latest` keeps, indexed from 0. All columns exist even without rows."""
    rows = [_row(record) for record in latest(records)[0]]
    seen = dict.fromkeys(name for row in rows for name in row)  # a set that keeps the order of first appearance
    labels = [name for name in seen if is_setting(name) and "." not in name]
    keys = [name for name in seen if is_setting(name) and "." in name]
    results = [name for group in RESULT_GROUPS for name in seen if name.startswith(f"{group}.")]
    lists = [name for name in LISTS if name in seen]
    names = (*SCALARS_AHEAD, *labels, *keys, *results, *lists, *SCALARS_BEHIND)
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})


def settings(table: pd.DataFrame) -> list[str]:
    """The frame's settings: labels of config groups first, then keys of the spec.

    The label of looks is not one. It says how many seeds were planned, and runs that differ only in it are alike.
    """
    return [name for name in table.columns if is_setting(name) and name != LOOKS]


def run_name(record: Record) -> str:
    """What identifies a run: its id, and its machine if merged machines contradict each other."""
    return f"{record.id} {record.labels[MACHINE]}" if MACHINE in record.labels else record.id


def run_names(table: pd.DataFrame) -> NDArray[np.object_]:
    """The `run_name` of each row, (rows,)."""
    names = table["id"] + " " + table[MACHINE] if MACHINE in table else table["id"]
    return names.to_numpy(dtype=object)


def mixed_code(table: pd.DataFrame) -> list[str]:
    """A warning for each norm, model or dataset (and the training code) whose rows come from several versions of it."""
    warnings = []
    for kind in ("norm", "weights", "model", "data", "task", "training"):
        code, name = f"code.{kind}", "norm.weights" if kind == "weights" else f"{kind}.name"
        if code not in table:
            continue
        names = table[name] if name in table else pd.Series(kind, index=table.index)
        for who, number in table.groupby(names)[code].nunique().items():
            if number > 1:
                what = "training code" if kind == "training" else f"{'norm' if kind == 'weights' else kind} {who}"
                warnings.append(
                    f"the rows come from {number} versions of the {what}; `compare` again makes them from one version"
                )
    return warnings


def _row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(record, name) for name in SCALARS_AHEAD + SCALARS_BEHIND}
    row[METRIC_FACTS] = json.dumps(list(record.metric_facts))
    row |= record.labels
    if ARM in row:
        row[ARM] = arm_label(row[ARM], record.control)
    _flatten(record.spec, "", row)
    for group in RESULT_GROUPS:
        values = record.metrics.get(group) if group in ("train", "validation", "test") else getattr(record, group)
        if values:
            _flatten(values, f"{group}.", row)
    row |= {name: json.dumps(list(values)) for name in LISTS if (values := getattr(record, name))}
    if not record.trained:  # a run that never ran has measured nothing
        for name in ("steps", "samples", "state_size"):
            row[name] = None
    return row


def _flatten(values: Mapping[str, Any], prefix: str, into: dict[str, Any]) -> None:
    for key, value in values.items():
        name = prefix + key
        if isinstance(value, Mapping):
            _flatten(value, f"{name}.", into)
        elif name not in into or prefix:  # a scalar of the spec never hides a label
            into[name] = json.dumps(value) if isinstance(value, list | tuple) else value


def _column(values: Sequence[Any]) -> pd.Series | pd.api.extensions.ExtensionArray:
    """Whole numbers stay whole if some rows have none (8, not 8.0)."""
    kinds = {type(value) for value in values}
    if kinds == {int, type(None)}:
        return pd.array(values, dtype="Int64")
    return pd.Series(values, dtype="float64" if kinds == {float, type(None)} else None)
