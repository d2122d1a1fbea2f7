"""The main table: the mean of the metric for each arm in each condition, with its interval, and every run accounted for.

The tables of the other metrics read from it too. No run is hidden: what diverged, failed or was skipped is counted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from normlib.results.plots.columns import metric as metric_figure
from normlib.results.stats import mean_interval, not_worse_than_best
from normlib.results.store.columns import UNKNOWN_SPLIT
from normlib.results.store.record import DIVERGED, FAILED, SKIPPED, TRAINED
from normlib.results.study import metrics
from normlib.results.study.metrics import (
    EMPTY,
    check_value,
    difference_unit,
    direction,
    in_unit,
    metrics_of,
    scale,
    with_half_width,
    with_unit,
)
from normlib.results.study.study import Condition, Study
from normlib.results.tables.reinitialized import notes_of_section
from normlib.results.tables.table import Column, Table, register_table, table_name, usual
from normlib.tasks.metric import Metric

MAIN = "main"
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Mean:
    """One arm in one condition. `n` replicates have the value; `trained` were trained, `diverged` of these broke.

    `mean` and `half_width` are as the value is stored (a fraction where the unit is %), NaN where n is too small. `updates` are
    the optimizer steps of its runs, None where they are not one number. `in_best` says that the arm shows no clear difference
    to the best of its condition.
    """

    section: str
    arm: str
    column: str
    updates: int | None = None
    value: str = ""
    mean: float = math.nan
    half_width: float = math.nan
    n: int = 0
    trained: int = 0
    diverged: int = 0
    failed: int = 0
    skipped: int = 0
    skip_reason: str = ""
    in_best: bool = False


@dataclass(frozen=True)
class Means:
    """The means of one section by (arm, column); arms and columns without any run are left out."""

    section: str
    value: str
    metric: Metric
    """The facts of the value."""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Mean]

    def cell(self, row: str, column: str) -> Mean:
        """The mean of an arm in a column; it counts nothing where there is no run."""
        return self.cells.get((row, column), Mean(self.section, row, column))


@register_table(
    MAIN,
    "Results",
    "Every arm in every condition. A click on a column’s heading sorts, one on a name below a plot hides that name everywhere. "
    "Hover over a point, or tap it, for the figure of each replicate.",
    plots=[metric_figure],
    order=10,
)
def main(study: Study) -> list[Table]:
    """The metric that was asked for, a table a section."""
    return [_table(study, means, MAIN) for means in comparison(study)]


@register_table("metrics", "Other metrics", "The other metrics of the task, of the same networks.", order=80)
def others(study: Study) -> list[Table]:
    """Each other metric of the task, a table a section."""
    found = [metric for metric in metrics_of(study.runs) if metric.name != study.question.facts.name]
    return [_table(study, means, "metrics") for metric in found for means in comparison(study, metric)]


def comparison(study: Study, metric: Metric | None = None) -> list[Means]:
    """The means of each section, of the value of the question, or on the same split of another `metric`."""
    value, facts = study.question.value, study.question.facts
    if metric is not None:
        value, facts = f"{value.rpartition('.')[0]}.{metric.name}", metric
    elif study.runs["status"].isin(TRAINED).any():
        check_value(study.runs, value)
    made = []
    for section, conditions in study.conditions.items():
        arms = study.arms(section)
        found = {(mean.arm, mean.column): mean for each in conditions for mean in _means(each, value, facts)}
        columns = tuple(condition.column for condition in conditions)
        cells = {(arm, column): found[arm, column] for arm in arms for column in columns if (arm, column) in found}
        made.append(Means(section, value, facts, arms, columns, cells))
    return made


def title(value: str, metric: Metric, section: str) -> str:
    """A heading: the split and the metric with its unit, and the section."""
    words = in_unit(metrics.title(value, metric), metric.unit)
    return words[:1].upper() + words[1:] + (f", {section}" if section else "")


def _means(condition: Condition, value: str, metric: Metric) -> Iterable[Mean]:
    """The mean of each arm: all runs of one condition."""
    status, reasons = condition.runs["status"].to_numpy(), condition.runs["reason"].to_numpy()
    resolution = condition.resolution(value, metric)
    planned = condition.runs.get("planned_steps", pd.Series(dtype=float))
    steps = set(planned[planned > 0])
    updates = int(steps.pop()) if len(steps) == 1 else None
    found, values = [], {}
    for arm, positions in condition.positions.items():
        mine = status[positions]
        values[arm] = condition.array(arm, value)
        interval = mean_interval(values[arm], resolution=resolution)
        why = dict.fromkeys(str(reason) for reason in reasons[positions[mine == SKIPPED]])
        found.append(Mean(
            condition.section, arm, condition.column, updates, value,
            mean=float(interval.mean), half_width=float(interval.half_width), n=int(interval.n),
            trained=int(np.isin(mine, list(TRAINED)).sum()), diverged=int((mine == DIVERGED).sum()),
            failed=int((mine == FAILED).sum()), skipped=int((mine == SKIPPED).sum()), skip_reason="; ".join(why),
        ))  # fmt: skip
    best = not_worse_than_best(values, not metric.higher_is_better, resolution=resolution)
    if sum(mean.n > 0 for mean in found) < 2:  # one arm alone is not the best of anything
        return found
    return [dataclasses.replace(mean, in_best=mean.arm in best) for mean in found]


def _table(study: Study, means: Means, part: str) -> Table:
    question, metric, rows = study.question, means.metric, tuple(means.cells.values())
    usual_n = usual(row.n for row in rows)
    reasons = dict.fromkeys(row.skip_reason for row in rows if row.skip_reason)
    marks = {reason: str(number).translate(_SUPERSCRIPTS) for number, reason in enumerate(reasons, 1)}
    updates = {row.column: row.updates for row in rows}

    def text(row: Mean) -> str:
        parts = []
        if row.n:
            number = f" (n={row.n})" if row.n != usual_n else ""
            parts.append(with_half_width(row.mean, row.half_width, metric) + number)
        if row.diverged:
            parts.append(f"diverged {row.diverged}/{row.trained}")
        if row.failed:
            parts.append(f"failed {row.failed}/{row.trained + row.failed}")
        if row.skipped:
            only = not (row.trained or row.failed)
            parts.append(("skipped" if only else f"skipped {row.skipped}") + marks.get(row.skip_reason, ""))
        return ", ".join(parts) or EMPTY

    return Table(
        name=table_name(metric),
        title=title(means.value, metric, means.section),
        columns=(
            Column(f"{question.rows} \\ {question.columns}", "arm", label=True),
            Column("mean", "mean", text, strong=lambda row: row.in_best),
        ),
        rows=rows,
        notes=(*_notes(study, means, part, usual_n, marks), *_same(study, means)),
        across={column: f"{column} ({updates[column]} updates)" if updates.get(column) else column for column in means.columns},
        arms=means.rows,
        part=part,
        in_terminal=part == MAIN,
    )  # fmt: skip


def _notes(study: Study, means: Means, part: str, usual_n: int, marks: Mapping[str, str]) -> list[str]:
    """What the words and figures are, in the order in which a reader will ask."""
    question, rows, notes = study.question, means.cells.values(), []
    elsewhere = means.value.startswith(f"{UNKNOWN_SPLIT}.")
    if part == MAIN and means.section == study.places.sections[0]:  # the first table of a report
        arm = "one normalization with its parameters" if question.rows == "norm" else f"one choice of {question.rows}"
        notes.append(
            f"A row is an arm: {arm}. A column is a condition: one choice of {question.columns}, the same for every arm."
        )
    if any(row.n for row in rows):
        width = "" if all(row.n < 2 for row in rows) else " ± half-width of its 95 % t interval"
        unless = "" if all(row.n in (0, usual_n) for row in rows) else ", unless a cell says otherwise"
        notes.append(f"Mean over seeds{width}; n = {usual_n}{unless}.")
    if any(row.in_best for row in rows):
        notes.append(
            f"Bold: no clear difference to the {'highest' if means.metric.higher_is_better else 'lowest'} mean of its column "
            f"({direction(means.metric)} is better). The 95 % t interval of the seed-by-seed difference contains 0; "
            "with one seed, all are bold."
        )
    if any(row.diverged for row in rows):
        all_count = all(row.n == row.trained for row in rows if row.diverged)
        what = "the figure is no finite number" if elsewhere else "the loss was no longer finite"
        scored = "they count with what the broken network scores" + ("" if all_count else ", where that is a number")
        notes.append(f"diverged k/n: in k of n trained runs {what}; {scored}.")
    if any(row.failed for row in rows):
        again = "" if elsewhere else "; `compare` tries again"
        notes.append(f"failed k/n: k of n runs stopped with an error and have no figures{again}.")
    return notes + [f"{mark} skipped: {reason}" for reason, mark in marks.items()]


def _same(study: Study, means: Means) -> list[str]:
    """What does not differ between arms, and what does: test set, parameters, and the settings that all runs share."""
    where, metric, notes = study.places, means.metric, []
    inside = (where.section == means.section).to_numpy()
    runs, arm_of = study.runs[inside], where.rows[inside]
    sizes = set(runs["test.samples"].dropna()) if "test.samples" in runs else set()
    if len(sizes) == 1 and means.value.startswith("test."):
        samples = int(sizes.pop())
        one = with_unit(f"{scale(metric) * metric.step / samples:.2g}", difference_unit(metric)) if samples else ""
        notes.append(f"Test set: {samples:,} samples" + (f", one is {one}." if metric.step and samples else "."))
    notes += _parameters("Trunk", "parameters.trunk", runs, arm_of, means.rows)
    notes += notes_of_section(study, means.section)
    notes += _parameters("Norm", "parameters.norm", runs, arm_of, means.rows)
    labels = [
        name for name in study.runs if f"{name}.name" in study.runs and name not in (where.row_axis, where.column_axis)
    ]
    shared = [name for name in labels if study.runs[name].nunique(dropna=False) == 1]
    if shared:
        listed = ", ".join(f"{name}={study.runs[name].iloc[0]}" for name in shared)
        notes.append(f"The same in all runs: {listed}.")
    return notes


def _parameters(kind: str, column: str, runs: pd.DataFrame, arm_of: pd.Series, arms: Iterable[str]) -> list[str]:
    """How many parameters each arm has, smallest to largest among its runs: every count with the arms that have it."""
    known = runs[column].dropna() if column in runs else pd.Series(dtype=float)
    ranges = {str(arm): (int(own.min()), int(own.max())) for arm, own in known.groupby(arm_of[known.index])}
    arms_by_count: dict[str, list[str]] = {}
    for arm in (arm for arm in arms if arm in ranges):
        low, high = ranges[arm]
        arms_by_count.setdefault(f"{low:,}" if low == high else f"{low:,} to {high:,}", []).append(arm)
    if len(arms_by_count) == 1:
        return [f"{kind} parameters: {next(iter(arms_by_count))} in every row."]
    each = "; ".join(f"{count} ({', '.join(named)})" for count, named in arms_by_count.items())
    return [f"{kind} parameters: {each}."] if each else []
