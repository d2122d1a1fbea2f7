"""Chooses the runs that a report shows: what was asked for, and after tuning its two views.

In: the frame of runs, and filters. Out: `Shown`. Filters never affect what trials choose. They keep conditions of the
evaluation, and a filter on the tuned setting affects only the fixed view. This file never reads a result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normlib.results.messages import runs as number_of_runs
from normlib.results.store.columns import SEED
from normlib.results.store.frame import run_names
from normlib.results.study import tuning
from normlib.results.study.axes import SPLIT_SEED, ReportError, as_text, check_axis, same_text
from normlib.results.study.metrics import metric_of
from normlib.results.study.tuning import FIXED, STAGE, TRIAL, TUNED, TUNING
from normlib.tasks.metric import Metric

Filters = Mapping[str, Collection[Any]]
"""By setting, the values to keep."""


@dataclass(frozen=True)
class View:
    """The runs of one comparison. `heading` describes it, `name` is one word for it. Both are "" if nothing was tuned."""

    name: str
    heading: str
    runs: pd.DataFrame


@dataclass(frozen=True)
class Shown:
    """The runs of a report: `runs` has all, including trials; `views` has those that are compared, none empty.

    `choices` is what the trials chose (`tuning.choices`) for the setting `axis` by `metric`. If nothing was tuned,
    `axis` and `metric` are None and `choices` is empty.
    """

    runs: pd.DataFrame
    views: tuple[View, ...]
    axis: str | None
    choices: pd.DataFrame
    messages: tuple[str, ...]
    metric: Metric | None = None


def shown(table: pd.DataFrame, filters: Filters, staged: bool = True, metric: Metric | str | None = None) -> Shown:
    """The runs that a report of `table` shows. Without `staged`, stages are ignored and all runs are compared.

    `metric` is what trials choose by: its name, or None for the main one of the runs. Raises ReportError for filters on
    something that is not a setting of the runs, or only says which stage a run belongs to.
    """
    if not staged:
        table = table.drop(columns=[STAGE, TUNING], errors="ignore")
    axis = tuning.tuned_axis(table)
    if axis is None:
        chosen = filtered(table, filters)
        views = [View("", "", chosen)] if len(chosen) else []
        return Shown(chosen, tuple(views), None, pd.DataFrame(), tuple(_narrowed(table, chosen, filters)))
    _check(table, filters)
    if wrong := {STAGE, TUNING}.intersection(filters):
        raise ReportError(
            f"filters take what was compared, not {min(wrong)}: it says what a run is for. The report keeps trials, tuned "
            "and fixed runs apart by itself; leave the filter out"
        )
    metric = metric if isinstance(metric, Metric) else metric_of(table, metric)
    found, both = tuning.choices(table, axis, metric), tuning.views(table, axis, metric)
    views = [_view(name, axis, runs[_kept(runs, filters)]) for name, runs in both.items()]
    is_trial = (table[STAGE] == TRIAL) & (table[TUNING] == axis)
    of_trials = {name: values for name, values in filters.items() if name not in (SEED, axis)}
    placed = table[is_trial | _among(table, both.values())]
    chosen = table[is_trial & _kept(table, of_trials) | _among(table, [view.runs for view in views])]
    messages = _undecided(found, both[TUNED]) + _at_edge(found, axis) + _narrowed(placed, chosen, filters, axis)
    if outside := len(table) - len(placed):
        messages.append(
            f"{number_of_runs(outside)} in no view: made without tuning, for another tuning, or at values that are not chosen"
        )
    found = found[_kept(found, of_trials)].reset_index(drop=True)
    there = tuple(view for view in views if len(view.runs))
    return Shown(chosen.reset_index(drop=True), there, axis, found, tuple(messages), metric)


def one_view(table: pd.DataFrame, name: str) -> View:
    """The runs of the view `name`, "tuned" or "fixed". All runs if nothing was tuned.

    Raises ReportError for other names, and for a view without runs.
    """
    if name not in (TUNED, FIXED):
        raise ReportError(
            f"view is {TUNED!r}, every arm at its chosen value, or {FIXED!r}, all at one; it is not {name!r}"
        )
    axis = tuning.tuned_axis(table)
    if axis is None:
        return View("", "", table)
    both = tuning.views(table, axis)
    if not len(both[name]):
        why = _undecided(tuning.choices(table, axis), both[TUNED]) if name == TUNED else []
        raise ReportError(f"there are no {name} runs" + (f": {why[0]}" if why else ""))
    return _view(name, axis, both[name])


def filtered(table: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """The runs whose settings are among the given values, compared as on the command line (32, null, true)."""
    _check(table, filters)
    return table[_kept(table, filters)].reset_index(drop=True)


def _check(table: pd.DataFrame, filters: Filters) -> None:
    for name in filters:
        if name != SEED:
            check_axis(table, name)


def _kept(table: pd.DataFrame, filters: Filters) -> pd.Series:
    """Which rows the filters keep. A filter without a column keeps all."""
    kept = pd.Series(True, index=table.index)
    for name, values in filters.items():
        if name in table:
            kept &= table[name].map(same_text, na_action=None).isin({same_text(value) for value in values})
    return kept


def _among(table: pd.DataFrame, views: Iterable[pd.DataFrame]) -> NDArray[np.bool_]:
    """Which rows are runs of any of the views."""
    names = {name for view in views for name in run_names(view)}
    return np.array([name in names for name in run_names(table)], dtype=bool)


def _view(name: str, axis: str, runs: pd.DataFrame) -> View:
    if name == TUNED:
        return View(name, f"Tuned: every arm at its chosen value of {axis}", runs.reset_index(drop=True))
    values = {as_text(value) for value in runs[axis]}
    value = f"{axis}={values.pop()}" if len(values) == 1 else f"the experiment's own {axis}"
    return View(name, f"Fixed: every arm at {value}", runs.reset_index(drop=True))


def _undecided(found: pd.DataFrame, tuned: pd.DataFrame) -> list[str]:
    """In words: what the tuned view waits for."""
    waiting = found[found["missing"] > 0]
    if len(waiting):
        some = "" if len(waiting) == len(found) else f" for {len(waiting)} of {len(found)} arms and conditions"
        lacking = f"{waiting['missing'].sum()} of {waiting['wanted'].sum()} trials have no record"
        return [f"no choice yet{some}: {lacking}; `normlib compare` continues"]
    if len(tuned):
        return []
    done = "no run at a chosen value has a record yet" if len(found) else "no choice yet: no trial has a record"
    return [f"{done}; `normlib compare` continues"]


def _at_edge(found: pd.DataFrame, axis: str) -> list[str]:
    """In words: how many choices are at an end of the values tried."""
    edges = int(found["at_edge"].sum())
    if not edges:
        return []
    return [f"{edges} of {len(found)} choices of {axis} are at the edge of the grid: a better value may lie beyond it"]


def _narrowed(table: pd.DataFrame, chosen: pd.DataFrame, filters: Filters, axis: str | None = None) -> list[str]:
    """In words: that filters left runs out, and what this means for the correction if they left out arms or conditions.

    Seeds, splits and values of the tuned setting `axis` do not count as such.
    """
    if not filters or not len(chosen) or len(chosen) == len(table):
        return []
    told = f"{len(chosen)} of {number_of_runs(len(table))} are shown, as asked"
    places = {name: values for name, values in filters.items() if name not in (SEED, SPLIT_SEED, axis)}
    if _kept(table, places).all():
        return [told]
    return [f"{told}; p values are corrected for the comparisons shown and for no others"]
