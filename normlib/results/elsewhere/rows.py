"""A table of runs from elsewhere becomes the frame that every analysis reads, with the question asked of it.

In: a table as read.py makes it, and which of its columns are arm, seed, metric and conditions. Out: `Rows`. Only those
columns go on, so what the table does not tell (times, sizes, curves, hashes) is absent and never made up. Whatever would
give a wrong figure is refused: rows that nothing tells apart, a metric that is no number, or that may mean more or less.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normlib.naming import listed
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
from normlib.results.store.columns import METRIC_FACTS, SEED, STEP, UNKNOWN_SPLIT
from normlib.results.store.record import DIVERGED, DONE, TRAINED
from normlib.results.study.axes import as_text
from normlib.results.study.question import Question
from normlib.tasks.metric import Metric

BASELINE = "batch"
"""The baseline that is looked for where none is named."""
ONE_CONDITION = "condition"
"""The column of a table that names no conditions: one condition, of all runs."""
ALL = "all runs"


@dataclass(frozen=True)
class Asked:
    """What a user says of a table: which columns are what. None leaves a thing to what the table tells."""

    arm: str | None = None
    seed: str | None = None
    metric: str | None = None
    columns: tuple[str, ...] = ()
    """The conditions; the first spans the tables, and each further one has sections of its own."""
    baseline: str | None = None
    higher_is_better: bool | None = None
    unit: str | None = None
    rope: float | None = None


def columns_named(columns: str | Sequence[str]) -> tuple[str, ...]:
    """The columns of conditions, of which a user may name one, several or none."""
    return tuple(name.strip() for name in ((columns,) if isinstance(columns, str) else columns) if name.strip())


@dataclass(frozen=True)
class Rows:
    """The runs in normlib's own columns, the question asked of them, and what a reader must be told."""

    frame: pd.DataFrame
    question: Question
    messages: tuple[str, ...]


def rows_of(table: pd.DataFrame, asked: Asked, name: str) -> Rows:
    """The runs of `table`, under the experiment `name`. TableError for whatever could give a wrong figure."""
    table = table.set_axis(range(1, len(table) + 1))  # rows are counted from 1 in messages, below the line of names
    named = _named(table, asked)
    arm, seed, value, *columns = named
    in_frame = setting_names([arm, *columns])
    metric = metric_named(bare(value), asked.higher_is_better, asked.unit)
    column = status_column(table, named)
    status = statuses(table, column)
    kept, messages = _placed(table, status, [arm, seed, *columns])
    if column and set(status) != {DONE}:
        messages.append(f"what became of a run is read from the column {column}")
    table, status = table[kept], [each for each, keep in zip(status, kept, strict=True) if keep]
    figures = [figure_in(row, figure, value, metric) for row, figure in table[value].items()]
    broken = [state == DONE and not math.isfinite(figure) for state, figure in zip(status, figures, strict=True)]
    reasons = table["reason"] if "reason" in table else pd.Series(None, index=table.index, dtype=object)
    words = [f"{column} is {as_text(word)}" for word in table[column]] if column else [None] * len(table)
    frame = pd.DataFrame({
        "id": [f"row {row}" for row in table.index],
        "experiment": name,
        "status": [DIVERGED if lost else state for state, lost in zip(status, broken, strict=True)],
        "reason": [
            f"{value} is not a number" if lost else None if state == DONE else reason if isinstance(reason, str) else word
            for state, lost, reason, word in zip(status, broken, reasons, words, strict=True)
        ],
        **{in_frame[each]: table[each].to_numpy() for each in (arm, *columns)},
        **({} if columns else {ONE_CONDITION: ALL}),
        SEED: _seeds(table[seed]),
    })  # fmt: skip
    frame[METRIC_FACTS] = json.dumps([metric.facts()])
    frame[f"{UNKNOWN_SPLIT}.{metric.name}"] = [
        figure if state in TRAINED and math.isfinite(figure) else math.nan
        for state, figure in zip(frame["status"], figures, strict=True)
    ]
    frame[f"{UNKNOWN_SPLIT}.{STEP}"] = step_of(figures)
    if not frame["status"].isin(TRAINED).any():
        raise TableError(f"no run of the table is finished; {_counted(frame['status'])}")
    check_apart(table, frame, named)
    question = _question(frame, in_frame[arm], in_frame[columns[0]] if columns else ONE_CONDITION, metric, asked)
    messages += messages_on_settings(table, named)
    messages += messages_on_seeds(frame, question)
    return Rows(frame, question, tuple(messages))


def _named(table: pd.DataFrame, asked: Asked) -> list[str]:
    """The columns of arm, seed, metric and conditions. TableError where one is not named, or serves twice."""
    missing = [flag for flag, typed in (("--arm", asked.arm), ("--metric", asked.metric)) if typed is None]
    if missing or asked.arm is None or asked.metric is None:
        raise TableError(
            f"a table that normlib did not make does not say which columns are what: add {' and '.join(missing)} (in Python arm= and "
            f"metric=, or value=), each with the name of a column; there are {listed(table.columns, MOST_NAMES)}"
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


def _placed(table: pd.DataFrame, status: Sequence[str], keys: Sequence[str]) -> tuple[list[bool], list[str]]:
    """Which rows have a place, and what to say of the others. A finished run without an arm, a seed or a condition is refused."""
    empty = table[keys].isna()
    lacking = empty.any(axis=1).tolist()
    for row, lacks, state in zip(table.index, lacking, status, strict=True):
        if lacks and state in TRAINED:
            names = ", ".join(key for key in keys if empty.at[row, key])
            raise TableError(
                f"row {row} is a finished run without a value for {names}: fill it in, or take the row out"
            )
    unfinished = [state == UNFINISHED for state in status]
    messages = []
    if count := sum(unfinished):
        messages.append(f"{_rows(count)} left out: the run is not at its end")
    if count := sum(lacks and not open_ for lacks, open_ in zip(lacking, unfinished, strict=True)):
        messages.append(f"{_rows(count)} left out: the run did not finish, and has no {' or no '.join(keys)}")
    return [not (lacks or open_) for lacks, open_ in zip(lacking, unfinished, strict=True)], messages


def _seeds(seeds: pd.Series) -> list[Any]:
    """Seeds as whole numbers if all are, else as words."""
    texts = [as_text(seed) for seed in seeds]
    numbers = [number_in(text) for text in texts]
    return [int(text) for text in texts] if all(isinstance(number, int) for number in numbers) else texts


def _question(frame: pd.DataFrame, rows: str, columns: str, metric: Metric, asked: Asked) -> Question:
    """What is asked of the runs. TableError for a baseline that is no arm."""
    arms = list(dict.fromkeys(map(as_text, frame[rows])))
    baseline = asked.baseline if asked.baseline is not None else BASELINE
    if baseline not in arms:
        rule = (
            f"the baseline is one of the arms, and {baseline!r} is none"
            if asked.baseline
            else "no arm is called 'batch'"
        )
        raise TableError(
            f"{rule}: name the one that the others are held against with --baseline; there are {', '.join(arms)}"
        )
    return Question(
        rows=rows, columns=columns, metric=metric, value=f"{UNKNOWN_SPLIT}.{metric.name}", baseline=baseline, rope=asked.rope,
    )  # fmt: skip


def _counted(statuses: pd.Series) -> str:
    counts = statuses.value_counts()
    return ", ".join(f"{count} {status}" for status, count in counts.items()) or "all were left out"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
