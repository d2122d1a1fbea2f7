"""The comparison: runs become tables of means with intervals, one table a section. Numbers only, no text layout.

In: the frame of runs. Out: `Table`s, whose cells count every run, the ones that broke, failed or were skipped included.
This file never formats a number and never decides what varies; see writers.py and axes.py.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from normlib.results.axes import Order, Places, ReportError, places
from normlib.results.frame import SEED, is_setting
from normlib.results.record import DIVERGED, FAILED, SKIPPED, TRAINED
from normlib.results.statistics import mean_interval, not_worse_than_best

ACCURACY = "test.accuracy"
HIGHER_IS_BETTER = ("accuracy", "samples_per_second")
"""How the names of values end that are better when larger; of anything else (loss, seconds, bytes) less is better."""


@dataclass(frozen=True)
class Cell:
    """One arm in one condition. `n` replicates have the value; `trained` were trained, `diverged` of these broke.

    `mean` and `half_width` are in the value's own unit (a fraction for accuracies), NaN where n is too small.
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
class Table:
    """The cells of one section, by (row label, column label); rows and columns without any run are left out."""

    section: str
    row_axis: str
    column_axis: str
    value: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    updates: Mapping[str, int]
    """By column: the optimizer steps that are planned for its runs, where that is one number."""
    cells: Mapping[tuple[str, str], Cell]
    constant: Mapping[str, str] = field(default_factory=dict)
    """Labels that all runs of all tables share, such as data=digits."""
    test_samples: int | None = None
    """Size of the test set, if the records tell and all agree."""
    trunk_parameters: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By row: the smallest and the largest number of trunk parameters among its runs."""
    norm_parameters: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By row: the same for the parameters of the norms."""

    def cell(self, row: str, column: str) -> Cell:
        """The cell, which counts nothing where there is no run."""
        return self.cells.get((row, column), Cell())


def comparison(
    runs: pd.DataFrame,
    rows: str = "norm",
    columns: str = "data.batch_size",
    value: str = ACCURACY,
    order: Order | None = None,
) -> list[Table]:
    """One table for each combination of the settings that vary beside rows, columns and seed."""
    where = places(runs, rows, columns, order)
    if runs["status"].isin(TRAINED).any():
        _check_value(runs, value)
    constant = _constant(runs, (rows, columns))
    return [_table(runs, where, section, value, constant) for section in where.sections]


def lower_is_better(value: str) -> bool:
    """Whether less of a value is better, as for a loss."""
    return not value.endswith(HIGHER_IS_BETTER)


def _table(runs: pd.DataFrame, where: Places, section: str, value: str, constant: Mapping[str, str]) -> Table:
    inside = (where.section == section).to_numpy()
    part, row, column = runs[inside], where.rows[inside], where.columns[inside]
    columns = tuple(label for label in where.column_labels if (column == label).any())
    cells: dict[tuple[str, str], Cell] = {}
    updates = {}
    for label in columns:
        chosen = (column == label).to_numpy()
        cells |= {(arm, label): cell for arm, cell in _column(part[chosen], row[chosen], value).items()}
        planned = part.loc[chosen, "planned_steps"]
        if len(steps := set(planned[planned > 0])) == 1:
            updates[label] = int(steps.pop())
    rows = tuple(label for label in where.row_labels if (row == label).any())
    return Table(
        section, where.row_axis, where.column_axis, value, rows, columns, updates, cells,
        constant=constant, test_samples=_one(part, "test.samples"),
        trunk_parameters=_ranges(part, row, "parameters.trunk", rows),
        norm_parameters=_ranges(part, row, "parameters.norm", rows),
    )  # fmt: skip


def _column(part: pd.DataFrame, row: pd.Series, value: str) -> dict[str, Cell]:
    """The cells of one column, by row label: all runs of one condition."""
    status = part["status"].to_numpy()
    seeds, replicate = np.unique(part[SEED].to_numpy(), return_inverse=True)
    measured = part[value].to_numpy(dtype=float, na_value=math.nan) if value in part else np.full(len(part), math.nan)
    cells, values = {}, {}
    for arm, positions in row.groupby(row).indices.items():
        mine = status[positions]
        trained = positions[np.isin(mine, list(TRAINED))]
        if len(set(replicate[trained])) < len(trained):
            raise ReportError(f"a cell holds one run a seed, and {arm} has several; filter the runs to one of them")
        values[arm] = np.full(len(seeds), math.nan)  # shape (replicates,)
        values[arm][replicate[trained]] = measured[trained]
        interval = mean_interval(values[arm])
        reasons = part["reason"].to_numpy()[positions[mine == SKIPPED]]
        cells[str(arm)] = Cell(
            mean=float(interval.mean), half_width=float(interval.half_width), n=int(interval.n), trained=len(trained),
            diverged=int((mine == DIVERGED).sum()), failed=int((mine == FAILED).sum()), skipped=len(reasons),
            skip_reasons=tuple(dict.fromkeys(str(reason) for reason in reasons)),
        )  # fmt: skip
    best = not_worse_than_best(values, lower_is_better(value))
    compared = sum(cell.n > 0 for cell in cells.values()) > 1  # one arm alone is not the best of anything
    return {arm: Cell(**{**vars(cell), "in_best": compared and arm in best}) for arm, cell in cells.items()}


def _check_value(runs: pd.DataFrame, value: str) -> None:
    valid = [name for name in runs if not is_setting(name) and pd.api.types.is_numeric_dtype(runs[name])]
    if value not in valid:
        close = difflib.get_close_matches(value, valid, n=3) or valid
        raise ReportError(f"value must be a measured number, not {value!r}; the closest are {', '.join(close)}")


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
