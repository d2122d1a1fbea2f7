"""Which runs a report shows: what is asked for, and after tuning the two views of it.

In: the frame of runs, and filters. Out: `Shown`. Filters never have a say in what trials choose: they keep conditions of
the evaluation, and a filter on the tuned setting keeps runs of the fixed view alone. This file never looks at a result.
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
    """The runs of one comparison. `heading` says which it is, `name` in one word; both are "" where nothing was tuned."""

    name: str
    heading: str
    runs: pd.DataFrame


@dataclass(frozen=True)
class Shown:
    """The runs of a report: `runs` has all, those of trials too; `views` those that are compared, none empty.

    `choices` is what the trials chose (`tuning.choices`) of the setting `axis` by `metric`; both None where nothing was tuned.
    """

    runs: pd.DataFrame
    views: tuple[View, ...]
    axis: str | None
    choices: pd.DataFrame
    messages: tuple[str, ...]
    metric: Metric | None = None


def shown(table: pd.DataFrame, filters: Filters, staged: bool = True, metric: Metric | str | None = None) -> Shown:
    """What a report of the runs in `table` shows. Unless `staged`, stages mean nothing: all runs are compared.
    `metric` is what trials choose by, its name, or None for the main one of the runs.

    ReportError for filters on what is no setting of the runs, or only says what a run is for.
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
            f"filters take what was compared, not {min(wrong)}: it says what a run is for, and the report keeps trials, tuned "
            "and fixed runs apart by itself"
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
    """The runs of the view `name`, "tuned" or "fixed"; all runs where nothing was tuned. ReportError for other names."""
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
    """The runs whose settings are among the values given, compared as the command line writes them (32, null, true)."""
    _check(table, filters)
    return table[_kept(table, filters)].reset_index(drop=True)


def _check(table: pd.DataFrame, filters: Filters) -> None:
    for name in filters:
        if name != SEED:
            check_axis(table, name)


def _kept(table: pd.DataFrame, filters: Filters) -> pd.Series:
    """Which rows the filters keep; what is no column keeps all."""
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
    """What the tuned view waits for."""
    waiting = found[found["missing"] > 0]
    if len(waiting):
        some = "" if len(waiting) == len(found) else f" for {len(waiting)} of {len(found)} arms and conditions"
        lacking = f"{waiting['missing'].sum()} of {waiting['wanted'].sum()} trials have no record"
        return [f"no choice yet{some}: {lacking}; `normlib compare` goes on"]
    if len(tuned):
        return []
    done = "no run at a chosen value has a record yet" if len(found) else "no choice yet: no trial has a record"
    return [f"{done}; `normlib compare` goes on"]


def _at_edge(found: pd.DataFrame, axis: str) -> list[str]:
    """How many choices are at an end of the values tried."""
    edges = int(found["at_edge"].sum())
    if not edges:
        return []
    return [f"{edges} of {len(found)} choices of {axis} are at the edge of the grid: a better value may lie beyond it"]


def _narrowed(table: pd.DataFrame, chosen: pd.DataFrame, filters: Filters, axis: str | None = None) -> list[str]:
    """That filters left runs out, and what it means for the correction where they left out arms or conditions.

    Neither seeds, nor splits, nor values of the tuned setting `axis` are any.
    """
    if not filters or not len(chosen) or len(chosen) == len(table):
        return []
    told = f"{len(chosen)} of {number_of_runs(len(table))} are shown, as asked"
    places = {name: values for name, values in filters.items() if name not in (SEED, SPLIT_SEED, axis)}
    if _kept(table, places).all():
        return [told]
    return [f"{told}; p values are corrected for the comparisons shown and for no others"]
