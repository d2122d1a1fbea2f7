"""normlib's own runs.csv, or its frame, read back: arm, seed and metric are known. Hashes verify the pairs, as
far as runs carry any.

In: a table as read.py makes it. Out: whether it is one of normlib's, and its `Rows`. This file changes no row.
"""

from __future__ import annotations

import pandas as pd

from normlib.results.elsewhere.frames import TableError, plain_frame
from normlib.results.elsewhere.rows import Asked, Rows, rows_of
from normlib.results.store.columns import METRIC_FACTS, SEED
from normlib.results.store.quoting import short
from normlib.results.study.axes import check_axis
from normlib.results.study.identity import NORM
from normlib.results.study.metrics import metrics_of
from normlib.results.study.question import Question

COLUMNS = ("id", "experiment", "status", "reason", NORM, SEED, "planned_steps", METRIC_FACTS)
"""What a table of normlib's has in any case."""


def is_own(table: pd.DataFrame) -> bool:
    """Whether normlib made the table."""
    return set(COLUMNS) <= set(table.columns)


def asked_rows(table: pd.DataFrame, asked: Asked, name: str = "runs") -> Rows:
    """The rows of a table with the question asked of them, normlib's own or another's, which is called `name`."""
    if not isinstance(table, pd.DataFrame):
        raise TableError(
            f"runs are a pandas frame with a row for each, got {short(table)}; normlib.report reads files too"
        )
    return _own_rows(table, asked) if is_own(table) else rows_of(plain_frame(table), asked, name)


def _own_rows(table: pd.DataFrame, asked: Asked) -> Rows:
    """The same rows, with the question asked of them. TableError for what the runs tell themselves, ReportError for axes."""
    if asked.unit is not None or asked.higher_is_better is not None or asked.seed not in (None, SEED):
        raise TableError(
            "runs of normlib's own tell their seed, and unit and direction of each metric: leave those flags out"
        )
    if len(asked.columns) > 1:
        raise TableError(
            "of normlib's own runs --columns names one setting: whatever else varies has sections of its own"
        )
    default = Question()
    rows, columns = asked.arm or default.rows, (*asked.columns, default.columns)[0]
    for axis in (rows, columns):
        check_axis(table, axis)
    named = asked.metric in {
        metric.name for metric in metrics_of(table)
    }  # else it is a column, such as seconds_per_step
    question = Question(
        rows=rows, columns=columns, value=f"test.{asked.metric}" if named else asked.metric or "",
        baseline=asked.baseline or default.baseline, rope=asked.rope,
    )  # fmt: skip
    return Rows(table, question, ())
