"""Rows with their question, of any table of runs: of normlib's own, which tells arm, seed and metric, or of another's.

Hashes verify the pairs of normlib's own runs, as far as they carry any.
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
"""The columns that every table of normlib's has."""


def is_own(table: pd.DataFrame) -> bool:
    """Whether normlib made the table."""
    return set(COLUMNS) <= set(table.columns)


def asked_rows(table: pd.DataFrame, asked: Asked, name: str = "runs") -> Rows:
    """The rows of a table with the question asked of them; one that normlib did not make is the experiment `name`.

    TableError for what the runs tell themselves, or what could give a wrong figure; ReportError for axes.
    """
    if not isinstance(table, pd.DataFrame):
        raise TableError(
            f"runs are a pandas frame with a row for each, got {short(table)}; normlib.report reads files too"
        )
    if not is_own(table):
        return rows_of(plain_frame(table), asked, name)
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
    metrics = {metric.name for metric in metrics_of(table)}
    value = f"test.{asked.metric}" if asked.metric in metrics else asked.metric or ""  # or a column: seconds_per_step
    baseline = asked.baseline or default.baseline
    return Rows(table, Question(rows=rows, columns=columns, value=value, baseline=baseline, rope=asked.rope), ())
