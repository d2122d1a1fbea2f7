"""A table of runs from elsewhere becomes the frame that every table reads, with the question asked of it.

In: a table as read.py makes it, and which of its columns are arm, seed, metric and conditions. Out: `Rows`. Only those
columns go on. What the table does not tell (times, sizes, curves, hashes) is absent and never made up. Whatever would give a
wrong figure is refused: runs that nothing tells apart, a metric that is no number, or one whose direction is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from normlib.naming import listed, unknown_name
from normlib.results.elsewhere.apart import check_apart, messages_on_seeds, messages_on_settings
from normlib.results.elsewhere.columns import (
    FIGURE_PREFIXES,
    MOST_NAMES,
    SETTING_PREFIXES,
    bare,
    column_of,
    setting_names,
)
from normlib.results.elsewhere.figures import figure_in, metric_named, step_of
from normlib.results.elsewhere.frames import TableError, number_in
from normlib.results.elsewhere.status import UNFINISHED, status_column, statuses
from normlib.results.store.columns import LOOKS, METRIC_FACTS, SEED, STEP, UNKNOWN_SPLIT
from normlib.results.store.record import DIVERGED, DONE, TRAINED
from normlib.results.study.axes import as_text
from normlib.results.study.question import Question

BASELINE = "batch"
"""The baseline where none is named."""
ONE_CONDITION = "condition"
"""The column of a table that names no conditions: one condition, of all runs."""
ALL = "all runs"


@dataclass(frozen=True)
class Asked:
    """What a user says of a table: which columns are what. What is None, the table tells."""

    arm: str | None = None
    seed: str | None = None
    metric: str | None = None
    columns: str | Sequence[str] = ()
    """The conditions, one or several; the first spans the tables, and each further one has sections of its own."""
    baseline: str | None = None
    higher_is_better: bool | None = None
    unit: str | None = None
    rope: float | None = None

    def __post_init__(self) -> None:
        """One column, or several, as a tuple of names."""
        columns = (self.columns,) if isinstance(self.columns, str) else self.columns
        object.__setattr__(self, "columns", tuple(name.strip() for name in columns if name.strip()))


@dataclass(frozen=True)
class Rows:
    """The runs in normlib's own columns, the question asked of them, and what a reader must be told."""

    frame: pd.DataFrame
    question: Question
    messages: tuple[str, ...]


def rows_of(table: pd.DataFrame, asked: Asked, name: str) -> Rows:
    """The runs of `table`, under the experiment `name`. TableError for whatever could give a wrong figure."""
    table = table.set_axis(range(1, len(table) + 1))  # messages count rows from 1, below the line of names
    arm, seed, value, *columns = named = _named(table, asked)
    in_frame = setting_names([arm, *columns])
    metric = metric_named(bare(value), asked.higher_is_better, asked.unit)
    told_by = status_column(table, named)
    status = pd.Series(statuses(table, told_by), table.index, dtype=object)
    kept, messages = _placed(table, status, [arm, seed, *columns])
    if told_by and set(status) != {DONE}:
        messages.append(f"what became of a run is read from the column {told_by}")
    table, status = table[kept], status[kept]
    figures = pd.Series({row: figure_in(row, each, value, metric) for row, each in table[value].items()}, dtype=float)
    broken = (status == DONE) & ~np.isfinite(figures)

    def reason(row: int) -> str | None:
        """Why a run has no figure; None for one that has."""
        if status[row] == DONE:
            return f"{value} is not a number" if broken[row] else None
        written = table.at[row, "reason"] if "reason" in table else None
        return written if isinstance(written, str) else f"{told_by} is {as_text(table[told_by][row])}"

    status_now = status.mask(broken, DIVERGED)
    figure = f"{UNKNOWN_SPLIT}.{metric.name}"
    frame = pd.DataFrame({
        "id": [f"row {row}" for row in table.index],
        "experiment": name,
        "status": status_now.to_numpy(),
        "reason": [reason(row) for row in table.index],
        **{in_frame[each]: table[each].to_numpy() for each in (arm, *columns)},
        **({} if columns else {ONE_CONDITION: ALL}),
        SEED: _seeds(table[seed]),
        METRIC_FACTS: json.dumps([metric.facts()]),
        figure: figures.where(status_now.isin(TRAINED) & np.isfinite(figures)).to_numpy(),
        f"{UNKNOWN_SPLIT}.{STEP}": step_of(figures),
    })  # fmt: skip
    if LOOKS in table and LOOKS not in named:  # a part of a table of normlib's still says how it was made
        frame[LOOKS] = table[LOOKS].to_numpy()
    if not status_now.isin(TRAINED).any():
        counts = ", ".join(f"{count} {each}" for each, count in status_now.value_counts().items())
        raise TableError(f"no run of the table is finished; {counts or 'all were left out'}")
    check_apart(table, frame, named)
    question = Question(
        rows=in_frame[arm], columns=in_frame[columns[0]] if columns else ONE_CONDITION, metric=metric, value=figure,
        baseline=_baseline(asked, frame[in_frame[arm]]), rope=asked.rope,
    )  # fmt: skip
    messages += [*messages_on_settings(table, named), *messages_on_seeds(frame, question)]
    return Rows(frame, question, tuple(messages))


def _named(table: pd.DataFrame, asked: Asked) -> list[str]:
    """The columns of arm, seed, metric and conditions. TableError where one is not named, or serves twice."""
    missing = [flag for flag, typed in (("--arm", asked.arm), ("--metric", asked.metric)) if typed is None]
    if missing or asked.arm is None or asked.metric is None:
        raise TableError(
            f"a table that normlib did not make does not say which columns are what: add {' and '.join(missing)} (in Python arm= and "
            f"metric=, or value=), each with a column's name; there are {listed(table.columns, MOST_NAMES)}"
        )
    found = [
        column_of(table, asked.arm, "--arm", SETTING_PREFIXES),
        column_of(table, asked.seed or SEED, "--seed", SETTING_PREFIXES),
        column_of(table, asked.metric, "--metric", FIGURE_PREFIXES),
        *(column_of(table, typed, "--columns", SETTING_PREFIXES) for typed in asked.columns),
    ]
    for name in found:
        if found.count(name) > 1:
            raise TableError(f"arm, seed, metric and conditions are different columns, and {name} is named twice")
    return found


def _placed(table: pd.DataFrame, status: pd.Series, keys: Sequence[str]) -> tuple[pd.Series, list[str]]:
    """Which rows have a place, and what to say of the others. TableError for a finished run without an arm, a seed or a condition."""
    empty = table[keys].isna()
    lacking, unfinished = empty.any(axis=1), status == UNFINISHED
    for row in table.index[lacking & status.isin(TRAINED)]:
        names = ", ".join(key for key in keys if empty.at[row, key])
        raise TableError(f"row {row} is a finished run without a value for {names}: fill it in, or take the row out")
    reasons = {
        "the run is not at its end": unfinished,
        f"the run did not finish, and has no {' or no '.join(keys)}": lacking & ~unfinished,
    }
    counts = {reason: int(rows.sum()) for reason, rows in reasons.items()}
    messages = [f"{n} row{'' if n == 1 else 's'} left out: {reason}" for reason, n in counts.items() if n]
    return ~(lacking | unfinished), messages


def _seeds(seeds: pd.Series) -> list[Any]:
    """Seeds as whole numbers if all are, else as words."""
    texts = [as_text(seed) for seed in seeds]
    return [int(text) for text in texts] if all(isinstance(number_in(text), int) for text in texts) else texts


def _baseline(asked: Asked, arms: pd.Series) -> str:
    """The arm that the others are compared with. TableError for one that is none of the arms."""
    labels = list(dict.fromkeys(map(as_text, arms)))
    if asked.baseline in labels or (asked.baseline is None and BASELINE in labels):
        return asked.baseline or BASELINE
    wrong = f"--baseline: {unknown_name('arm', asked.baseline or BASELINE, labels)}"
    raise TableError(wrong if asked.baseline else f"{wrong}. Name the arm that the others are compared with")
