"""The comparison: runs become tables of means with intervals, one table a section. Numbers only, no text layout.

In: a study. Out: `Means`s, whose cells count every run, the ones that broke, failed or were skipped included.
This file never formats a number and never decides what varies; see writers.py and axes.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from normlib.results.stats import mean_interval, not_worse_than_best
from normlib.results.store.record import DIVERGED, FAILED, SKIPPED, TRAINED
from normlib.results.study.metrics import check_value
from normlib.results.study.study import Condition, Study
from normlib.results.tables.reinitialized import reinitialized_by_row
from normlib.tasks.metric import Metric


@dataclass(frozen=True)
class Mean:
    """One arm in one condition. `n` replicates have the value; `trained` were trained, `diverged` of these broke.

    `mean` and `half_width` are as the value is stored (a fraction where the unit is %), NaN where n is too small.
    """

    mean: float = math.nan
    half_width: float = math.nan
    n: int = 0
    trained: int = 0
    diverged: int = 0
    failed: int = 0
    skipped: int = 0
    skip_reasons: tuple[str, ...] = ()
    in_best: bool = False


@dataclass(frozen=True)
class Means:
    """The cells of one section, by (row label, column label); rows and columns without any run are left out."""

    section: str
    row_axis: str
    column_axis: str
    value: str
    metric: Metric
    """The facts of the value."""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    updates: Mapping[str, int]
    """By column: the optimizer steps that are planned for its runs, where that is one number."""
    cells: Mapping[tuple[str, str], Mean]
    constant: Mapping[str, str] = field(default_factory=dict)
    """Labels that all runs of all tables share, such as data=digits."""
    test_samples: int | None = None
    """Size of the test set, if the records tell and all agree."""
    trunk_parameters: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By row: the smallest and the largest number of trunk parameters among its runs."""
    norm_parameters: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By row: the same for the parameters of the norms."""
    reinitialized_by_row: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """By row: the names of the trunk's parameters that its norm started anew, each different list among its runs."""
    controls: frozenset[str] = frozenset()
    """The rows that are a control."""

    def cell(self, row: str, column: str) -> Mean:
        """The cell, which counts nothing where there is no run."""
        return self.cells.get((row, column), Mean())


def comparison(study: Study, metric: Metric | None = None) -> list[Means]:
    """One table for each combination of the settings that vary beside rows, columns and replicates.

    They hold the value of the question, or on the same split another `metric`.
    """
    value, facts = study.question.value, study.question.facts
    if metric is not None:
        value, facts = f"{value.rpartition('.')[0]}.{metric.name}", metric
    elif study.runs["status"].isin(TRAINED).any():
        check_value(study.runs, value)
    constant = _constant(study.runs, (study.question.rows, study.question.columns))
    return [_table(study, section, constant, value, facts) for section in study.places.sections]


def _table(study: Study, section: str, constant: Mapping[str, str], value: str, metric: Metric) -> Means:
    where, conditions = study.places, study.conditions[section]
    inside = (where.section == section).to_numpy()
    part, row = study.runs[inside], where.rows[inside]
    cells: dict[tuple[str, str], Mean] = {}
    updates = {}
    for condition in conditions:
        found = _column(condition, value, metric)
        cells |= {(arm, condition.column): cell for arm, cell in found.items()}
        planned = condition.runs.get("planned_steps", pd.Series(dtype=float))
        if len(steps := set(planned[planned > 0])) == 1:
            updates[condition.column] = int(steps.pop())
    rows = study.arms(section)
    return Means(
        section, where.row_axis, where.column_axis, value, metric, rows,
        tuple(condition.column for condition in conditions), updates, cells,
        constant=constant, test_samples=_one(part, "test.samples"), controls=study.controls & set(rows),
        trunk_parameters=_ranges(part, row, "parameters.trunk", rows),
        norm_parameters=_ranges(part, row, "parameters.norm", rows),
        reinitialized_by_row=reinitialized_by_row(part, row, rows),
    )  # fmt: skip


def _column(condition: Condition, value: str, metric: Metric) -> dict[str, Mean]:
    """The cells of one column, by row label: all runs of one condition."""
    status = condition.runs["status"].to_numpy()
    resolution = condition.resolution(value, metric)
    cells, values = {}, {}
    for arm, positions in condition.positions.items():
        mine = status[positions]
        values[arm] = condition.array(arm, value)
        interval = mean_interval(values[arm], resolution=resolution)
        reasons = condition.runs["reason"].to_numpy()[positions[mine == SKIPPED]]
        cells[arm] = Mean(
            mean=float(interval.mean), half_width=float(interval.half_width), n=int(interval.n),
            trained=int(np.isin(mine, list(TRAINED)).sum()),
            diverged=int((mine == DIVERGED).sum()), failed=int((mine == FAILED).sum()), skipped=len(reasons),
            skip_reasons=tuple(dict.fromkeys(str(reason) for reason in reasons)),
        )  # fmt: skip
    best = not_worse_than_best(values, not metric.higher_is_better, resolution=resolution)
    compared = sum(cell.n > 0 for cell in cells.values()) > 1  # one arm alone is not the best of anything
    return {arm: Mean(**{**vars(cell), "in_best": compared and arm in best}) for arm, cell in cells.items()}


def _constant(runs: pd.DataFrame, axes: tuple[str, str]) -> dict[str, str]:
    """The label of each config group that is one and the same in all runs."""
    labels = [name for name in runs if f"{name}.name" in runs and name not in axes]
    return {name: str(runs[name].iloc[0]) for name in labels if runs[name].nunique(dropna=False) == 1}


def _one(part: pd.DataFrame, name: str) -> int | None:
    found = set(part[name].dropna()) if name in part else set()
    return int(found.pop()) if len(found) == 1 else None


def _ranges(part: pd.DataFrame, row: pd.Series, name: str, rows: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """By row, the smallest and the largest value among its runs; rows without one are left out."""
    known = part[name].dropna() if name in part else pd.Series(dtype=float)
    by_row = {str(arm): (int(own.min()), int(own.max())) for arm, own in known.groupby(row[known.index])}
    return {arm: by_row[arm] for arm in rows if arm in by_row}
