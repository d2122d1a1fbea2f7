"""The settings that span a table: its rows, its columns, and sections for all else that varies.

In: the frame of runs and two names. Out: for every run its row, column and section, as labels in a stable order. No two
runs of one seed ever share a cell. Whatever varies besides rows and columns makes sections. If an arm's own settings
vary under one label, the label shows them. This file never reads a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normlib.errors import NormlibError
from normlib.naming import unknown_name
from normlib.results.store.columns import ARM, SEED, arm_label
from normlib.results.store.frame import settings

SPLIT_SEED = "data.split_seed"
"""Part of a replicate if each seed has its own split. Otherwise a setting like any other."""
EXACT = 2.0**53  # not every whole number above is a float
Order = Mapping[str, Sequence[str]]
"""By setting, its values in the order of the plan. Other values follow by number, then by alphabet."""


class ReportError(NormlibError, ValueError):
    """A report cannot be made as asked. The message states the rule, what came and the valid names."""


@dataclass(frozen=True)
class Places:
    """Where each run belongs. The three series share the frame's index and hold labels; `sections` are in order.

    A section has a label as its key, such as "model=mlp", or "" if nothing varies besides rows and columns.
    """

    row_axis: str
    column_axis: str
    rows: pd.Series
    columns: pd.Series
    section: pd.Series
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    sections: tuple[str, ...]


def labels_of_arms(table: pd.DataFrame) -> pd.Series:
    """Each run's arm, as the rows of a table name it: with the settings of its own that vary under one label."""
    return _along(table, ARM, {}, "")[0]


def check_two_axes(rows: str, columns: str) -> None:
    """Refuse two axes that give no run a single place. Raises ReportError."""
    if rows == columns:
        raise ReportError(f"rows and columns must be two different settings, but both are {rows}")
    if SEED in (rows, columns):
        raise ReportError(f"rows and columns cannot be {SEED!r}: the seed numbers the replicates of every cell")


def places(table: pd.DataFrame, rows: str, columns: str, order: Order | None = None) -> Places:
    """Lay the runs out over `rows` and `columns`, two different settings of the frame."""
    for axis in (rows, columns):
        check_axis(table, axis)
    check_two_axes(rows, columns)
    order = order or {}
    by_row, row_labels = _along(table, rows, order, columns)
    by_column, column_labels = _along(table, columns, order, rows)
    section, sections = _sections(table, section_keys(table, rows, columns), order)
    return Places(rows, columns, by_row, by_column, section, row_labels, column_labels, sections)


def check_axis(table: pd.DataFrame, axis: str) -> None:
    """Refuse names that are not settings of these runs. The seed is refused, too: it numbers the replicates."""
    valid = [name for name in settings(table) if name != SEED]
    if axis in valid or (not len(table) and axis != SEED):
        return
    if axis == SEED:
        raise ReportError(
            f"rows, columns and filters take a setting of the runs, but {SEED!r} numbers the replicates of every cell; "
            f"take one of {', '.join(valid)}"
        )
    raise ReportError(f"rows, columns and filters: {unknown_name('setting of these runs', axis, valid)}")


def section_keys(table: pd.DataFrame, rows: str, columns: str) -> list[str]:
    """The settings that vary besides rows, columns and seed, except those implied by their group's label.

    A label implies what follows from it: `model` implies the widths of models. A label on an axis covers its whole
    group. A setting that varies with another group's setting still makes a section. Otherwise it would be compared
    unnoticed.
    """
    axes = (rows, columns)
    keys: list[str] = []
    in_replicates = (SEED, SPLIT_SEED) if splits_follow_seeds(table) else (SEED,)
    for name in settings(table):
        group = name.partition(".")[0]
        if name in (*axes, *in_replicates) or group in axes or table[name].nunique(dropna=False) < 2:
            continue
        told_by = [key for key in keys if key.partition(".")[0] == group]
        if name in (group, f"{group}.name"):
            told_by += [axis for axis in axes if axis.startswith(f"{group}.")]
        before = table.groupby(told_by, dropna=False).ngroups if told_by else 1
        if table.groupby([*told_by, name], dropna=False).ngroups > before:
            keys.append(name)
    return keys


def splits_follow_seeds(table: pd.DataFrame) -> bool:
    """Whether each seed has its own split of the data. Then replicates differ in both, and intervals include both.

    If several seeds share a split, or a seed has several, runs are independent in neither alone.
    """
    if SPLIT_SEED not in table or table[SPLIT_SEED].nunique() < 2:
        return False
    return all(
        (table.groupby(one)[other].nunique() == 1).all() for one, other in ((SEED, SPLIT_SEED), (SPLIT_SEED, SEED))
    )


def as_text(value: Any) -> str:
    """A setting's value as the command line writes it: 8, 0.1, true, null."""
    if value is None or value is pd.NA or value != value:
        return "null"
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return str(bool(value)).lower()
    whole = isinstance(value, float) and value.is_integer() and abs(value) < EXACT
    return str(int(value)) if whole else str(value)


def same_text(value: Any) -> str:
    """As `as_text`, but with one text for all spellings of a number or truth value: 1e-1, "0.10" and 0.1 are "0.1"."""
    text = as_text(value)
    try:
        return as_text(float(text))
    except ValueError:
        return text.lower() if text.lower() in ("true", "false", "null") else text


def _along(table: pd.DataFrame, axis: str, order: Order, other: str) -> tuple[pd.Series, tuple[str, ...]]:
    """Each run's label on an axis, and all labels in order. `other` is the axis that crosses it."""
    if axis not in table or not len(table):
        return pd.Series([], dtype=str), ()
    by_value = {value: as_text(value) for value in table[axis].unique()}
    base = table[axis].map(lambda value: by_value.get(value, "null"))
    labels = base + _own_settings(table, axis, other)
    pairs = pd.DataFrame({"label": labels, "value": table[axis]}).drop_duplicates("label")
    plan = order.get(axis, ())
    if axis == ARM:  # a control comes after the arm that it repeats
        plan = [each for label in plan for each in (label, arm_label(label))]
    ranked = sorted((rank(value, plan), label) for label, value in zip(pairs["label"], pairs["value"], strict=True))
    return labels, tuple(label for _, label in ranked)


def _own_settings(table: pd.DataFrame, axis: str, other: str) -> pd.Series:
    """Words like " (num_groups=4)" for runs whose label and place on the other axis would hide a value that varies."""
    extra = pd.Series("", index=table.index)
    if "." in axis:
        return extra
    for name in settings(table):
        if name.startswith(f"{axis}.") and name != other:
            hidden = table.groupby(axis)[name].transform(lambda own: own.nunique(dropna=False)) > 1
            if hidden.any():
                extra[hidden] += f", {name.removeprefix(axis + '.')}=" + table.loc[hidden, name].map(as_text)
    return extra.map(lambda text: f" ({text[2:]})" if text else "")


def _sections(table: pd.DataFrame, keys: list[str], order: Order) -> tuple[pd.Series, tuple[str, ...]]:
    if not keys:
        return pd.Series("", index=table.index), ("",) if len(table) else ()
    labels = pd.Series("", index=table.index)
    for key in keys:
        labels += (", " if key != keys[0] else "") + f"{key}=" + table[key].map(as_text)
    first = table.loc[labels.drop_duplicates().index, keys]
    ranked = sorted(first.index, key=lambda row: [rank(first.at[row, key], order.get(key, ())) for key in keys])
    return labels, tuple(labels[row] for row in ranked)


def rank(value: Any, plan: Sequence[str] = ()) -> tuple[int, float, str]:
    """The sort key of a value: by the plan, then numbers by size, then words by alphabet, then missing values."""
    text = same_text(value)
    planned = [same_text(entry) for entry in plan]
    if text in planned:
        return 0, planned.index(text), ""
    if text == "null":
        return 3, 0.0, ""
    try:
        return 1, float(value), ""
    except (TypeError, ValueError):
        return 2, 0.0, text
