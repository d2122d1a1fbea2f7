"""What trials choose for each arm, and the two views of the runs: tuned, and all at one fixed value.

In: the frame of an experiment with tuning. Its label `stage` is "trial" for runs that only serve the choice, "fixed"
for evaluation at the experiment's own value, and "tuned" for evaluation at a chosen value. Its label `tuning` names the
tuned setting. Out: the choices, and the evaluation runs of each view. This file never uses a test figure to choose, and
never chooses unless all trials are there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normlib.results.store.columns import ARM, SEED, is_setting
from normlib.results.store.frame import settings
from normlib.results.store.record import FAILED, SKIPPED, TRAINED
from normlib.results.study.axes import as_text, check_axis, same_text
from normlib.results.study.metrics import metric_of
from normlib.tasks.metric import Metric

STAGE = "stage"
"""The label that says which stage of the tuning a run belongs to."""
TRIAL, FIXED, TUNED = "trial", "fixed", "tuned"
TUNING = "tuning"
"""The label that names the setting that an experiment tunes."""

FOUND = ("chosen", "validation", "trials", "wanted", "at_edge", "means", "missing", "why_not")
"""The columns that `choices` adds. The columns before these name the arm and the condition."""
ROUNDING = 1e-9  # relative: means of the same figures in another order differ by less, one sample in any set by more
WORDS = {FAILED: "failed", SKIPPED: "was skipped"}
STAY = ("experiment", "planned_steps", "data_version")  # columns that hold even for a run that could not exist


@dataclass(frozen=True)
class Choices:
    """What trials chose: values of the setting `axis`, by the metric. `found` is the result of `choices`."""

    axis: str
    found: pd.DataFrame
    metric: Metric


def tuned_axis(table: pd.DataFrame) -> str | None:
    """The setting that the experiment tunes, of the newest run if it changed. None if nothing is tuned."""
    staged = TUNING in table and STAGE in table
    own = table[table[TUNING].notna() & table[STAGE].notna()] if staged else table.iloc[:0]
    return str(own.sort_values("started")[TUNING].iloc[-1]) if len(own) else None


def choices(table: pd.DataFrame, axis: str, metric: Metric | None = None) -> pd.DataFrame:
    """The value of `axis` that the trials choose for each arm and condition, one row each, in order of these.

    `metric` is the metric to choose by, by default the main one of the runs. The first columns are the arm and every
    setting that varies among the trials, except the axis, the seed, and what follows from these two. Then:

    - `chosen`: the value with the best mean of the metric on validation, and the smaller one of equals. None if `why_not`
      says why.
    - `validation`: that mean, as it is stored. A diverged trial counts with the score of its broken network.
    - `trials`: the number of trained trials.
    - `wanted`: the number of trials that every arm and condition should have, judged by what any of them has.
    - `at_edge`: whether the chosen value is the smallest or largest number tried. Better ones may lie beyond.
    - `means`: the mean on validation by value. NaN for a value with a trial that failed, was skipped or is missing; such a
      value cannot be chosen.
    - `missing`: the number of trials that other arms or conditions have and this one lacks. Until it is 0 there is no
      choice.
    - `why_not`: why there is no choice, else "".

    Empty if there are no trials of the axis. Raises ReportError for an axis that is not a setting of the runs.
    """
    trials = table[(table[STAGE] == TRIAL) & (table[TUNING] == axis)] if STAGE in table else table.iloc[:0]
    if not len(trials):
        return pd.DataFrame(columns=[ARM, *FOUND])
    check_axis(table, axis)
    values, seeds = sorted(map(_plain, trials[axis].unique()), key=_rank), trials[SEED].nunique()
    keys = _keys(trials, axis)
    metric = metric or metric_of(trials)
    rows = []
    for _, own in trials.groupby(_texts(trials, keys), sort=False):
        by_value = {value: own[own[axis].map(same_text) == same_text(value)] for value in values}
        rows.append({key: _plain(own[key].iloc[0]) for key in keys} | _choice(by_value, seeds, metric))
    rows.sort(key=lambda row: [_rank(row[key]) for key in keys])
    return pd.DataFrame(rows, columns=[*keys, *FOUND])


def is_chosen(table: pd.DataFrame, found: pd.DataFrame, axis: str) -> pd.Series:
    """For each run, whether it has the value that `choices` found for its arm and condition."""
    keys = _arm_and_condition(found)
    made = found[found["why_not"] == ""]
    wanted = set(zip(_texts(made, keys), made["chosen"].map(same_text), strict=True))
    there = zip(_texts(table, keys), table[axis].map(same_text), strict=True)
    return pd.Series([pair in wanted for pair in there], index=table.index, dtype=bool)


def views(table: pd.DataFrame, axis: str, metric: Metric | None = None) -> dict[str, pd.DataFrame]:
    """The evaluation runs as `tuned`, each arm at its chosen value, and as `fixed`, all at one.

    Neither has columns for the stage and the tuning. `tuned` has none for the axis either, since `choices` says each
    arm's value. So no setting is left that would separate arms. If every value has a failed trial, the arm's runs are
    in `tuned` as failed, with that reason and without figures. If all trials were skipped, they are there as skipped.
    """
    if STAGE not in table:
        return {TUNED: table.iloc[:0], FIXED: table}
    check_axis(table, axis)
    found = choices(table, axis, metric)
    evaluation = table[table[STAGE].isin([FIXED, TUNED]) & (table[TUNING] == axis)]
    fixed = evaluation[evaluation[STAGE] == FIXED]
    keys = _arm_and_condition(found)
    never = found[(found["why_not"] != "") & (found["missing"] == 0)]
    reasons = _texts(evaluation, keys).map(dict(zip(_texts(never, keys), never["why_not"], strict=True)))
    hopeless = reasons.notna() & (evaluation[STAGE] == FIXED)
    tuned = evaluation[is_chosen(evaluation, found, axis) | hopeless].copy()
    failed = hopeless[tuned.index] & (tuned["status"] != SKIPPED)
    if failed.any():
        for column in tuned.columns:
            if not is_setting(column) and column not in STAY:
                tuned[column] = tuned[column].where(~failed)
        tuned["status"] = tuned["status"].where(~failed, FAILED)
        tuned["reason"] = tuned["reason"].where(~failed, reasons[tuned.index])
    return {
        TUNED: tuned.drop(columns=[STAGE, TUNING, axis]).reset_index(drop=True),
        FIXED: fixed.drop(columns=[STAGE, TUNING]).reset_index(drop=True),
    }


def _choice(by_value: Mapping[Any, pd.DataFrame], seeds: int, metric: Metric) -> dict[str, Any]:
    """What the trials of one arm and condition choose. `seeds` is the number of trials that every value should have."""
    means = {value: _mean(trials, seeds, metric) for value, trials in by_value.items()}
    statuses = [status for trials in by_value.values() for status in trials["status"]]
    missing = seeds * len(by_value) - len(statuses)
    found: dict[str, Any] = {"chosen": None, "validation": math.nan}
    found |= {"trials": sum(status in TRAINED for status in statuses), "wanted": seeds * len(by_value)}
    found |= {"at_edge": False, "means": means, "missing": missing, "why_not": ""}
    complete = {value: mean for value, mean in means.items() if not math.isnan(mean)}
    if missing:
        return found | {"why_not": f"no choice yet: {missing} of {seeds * len(by_value)} trials have no record"}
    if not complete:
        words = " or ".join(WORDS[status] for status in sorted({*statuses} - TRAINED)) or "has no figure"
        return found | {"why_not": f"no choice: every value has a trial that {words}"}
    sign = 1 if metric.higher_is_better else -1
    best = max(sign * mean for mean in complete.values())
    chosen = next(value for value, mean in complete.items() if sign * mean >= best - ROUNDING * max(1, abs(best)))
    numbers = [value for value in by_value if _is_number(value)]
    at_edge = _is_number(chosen) and chosen in (min(numbers), max(numbers))
    return found | {"chosen": chosen, "validation": complete[chosen], "at_edge": at_edge}


def _mean(trials: pd.DataFrame, seeds: int, metric: Metric) -> float:
    """The mean over the trials of one value. NaN if a trial has no figure, and then the value cannot be chosen.

    A trial whose loss was no longer finite may have none.
    """
    if len(trials) < seeds or not trials["status"].isin(TRAINED).all():
        return math.nan
    return float(trials[f"validation.{metric.name}"].mean(skipna=False))


def _keys(trials: pd.DataFrame, axis: str) -> list[str]:
    """The arm and every setting that distinguishes its conditions, except those implied by others."""
    keys = [ARM]
    for name in settings(trials):
        if name in (ARM, axis, SEED) or trials[name].nunique(dropna=False) < 2:
            continue
        follows = trials.groupby([axis, SEED], dropna=False)[name].nunique(dropna=False).max() == 1
        before, after = (trials.groupby(by, dropna=False).ngroups for by in (keys, [*keys, name]))
        if after > before and not follows:
            keys.append(name)
    return keys


def _arm_and_condition(found: pd.DataFrame) -> list[str]:
    return [name for name in found.columns if name not in FOUND]


def _texts(table: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """One text per row that names its arm and condition."""
    rows = zip(*(table[key] for key in keys), strict=True)
    return pd.Series(["|".join(map(as_text, row)) for row in rows], index=table.index, dtype=object)


def _plain(value: Any) -> Any:
    """A value of the frame as a Python value. None if it is missing."""
    if as_text(value) == "null":
        return None
    return value.item() if hasattr(value, "item") else value


def _rank(value: Any) -> tuple[int, float, str]:
    """The sort key: numbers by size, then words by alphabet, then missing values."""
    if _is_number(value):
        return 0, value, ""
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
