"""Arms across workloads: interquartile mean, average rank, and the signed-rank test against the baseline.

A workload is a model on a dataset for a task: what differs between sections in those three. Widths, splits, learning rates and
all else that varies are not workloads, since they are no independent draws of what an arm may meet: each of their values has a
table of its own. Controls are left out: a control is the baseline once more, and would take a rank.
The bootstrap draws random numbers, always from the same seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.stats import (
    average_ranks,
    interquartile_mean,
    replicates_needed,
    stratified_bootstrap,
    wilcoxon_holm,
)
from normlib.results.study.absence import why_none
from normlib.results.study.axes import as_text, section_keys
from normlib.results.study.comparison import SIGNIFICANCE
from normlib.results.study.metrics import EMPTY, figure
from normlib.results.study.study import Condition, Study
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.table import Column, Row, Table, p_value, register_table

WORKLOAD = ("model", "data", "task")
"""The labels that make a workload."""
BOOTSTRAP_SEED, BOOTSTRAP_SAMPLES = 0, 500
"""With 500 samples the 2.5 % end of an interval lies between the 1.8 % and the 3.2 % end most of the time; more would take
longer than all else in a report of 10,000 runs."""


@dataclass(frozen=True)
class Summary:
    """One arm in one condition, over workloads, in the unit that the metric is stored in; NaN where there is no figure."""

    group: str
    """What varies beside model, dataset, task, rows and columns, such as "optimizer.lr=0.1"."""
    column: str
    arm: str
    workloads: tuple[str, ...]
    """The workloads of the condition."""
    mean: float = math.nan
    """Interquartile mean over workloads and replicates, with its stratified bootstrap interval."""
    low: float = math.nan
    high: float = math.nan
    rank: float = math.nan
    """Average rank over workloads among the arms that have every workload, 1 is best."""
    ranked: int = 0
    """How many arms that is."""
    p_holm: float = math.nan
    """Signed-rank test against the baseline over workloads, corrected over the arms of the condition."""
    workloads_needed: int = 0
    """With so many workloads the smallest possible p passes the correction; 0 where nothing is compared."""
    why_none: str = ""

    @property
    def too_few(self) -> bool:
        """Whether no difference, however large, could pass the correction with so few workloads."""
        return len(self.workloads) < self.workloads_needed


@register_table(
    "workloads",
    "Across workloads",
    "What holds over several workloads at once. A workload is a model on a dataset for a task.",
    order=60,
)
def workload_tables(study: Study) -> list[Table]:
    """A table for all workloads, or one for each value of what else varies; none where there is but one workload."""
    tables = []
    for group, sections in workloads(study).items():
        summaries: list[Summary] = []
        for column in study.places.column_labels:
            here = {
                workload: condition
                for workload, section in sections.items()
                for condition in study.conditions[section]
                if condition.column == column
            }
            if len(here) > 1:
                summaries += _summaries(study, group, column, here)
        if summaries:
            conditions = (each for section in sections.values() for each in study.conditions[section])
            tables.append(_table(study, group, summaries, divergence_notes(conditions)))
    return tables


def workloads(study: Study) -> dict[str, dict[str, str]]:
    """By what varies beside model, dataset and task: the section of each workload, such as "model=mlp", or "" where none varies."""
    question, places = study.question, study.places
    keys = section_keys(study.runs, question.rows, question.columns)
    found: dict[str, dict[str, str]] = {}
    first = places.section.drop_duplicates()
    for section in places.sections:
        run = study.runs.loc[first.index[first == section][0]]
        labels = {key: f"{key}={as_text(run[key])}" for key in keys}
        workload = ", ".join(label for key, label in labels.items() if key in WORKLOAD)
        group = ", ".join(label for key, label in labels.items() if key not in WORKLOAD)
        found.setdefault(group, {})[workload] = section
    return found


def _summaries(study: Study, group: str, column: str, conditions: Mapping[str, Condition]) -> list[Summary]:
    """The arms of one column; `conditions` by workload."""
    present = {arm for condition in conditions.values() for arm in condition.arms}
    arms = [arm for arm in study.places.row_labels if arm in present and arm not in study.controls]
    value, names = study.question.on("test"), tuple(conditions)
    scores = {arm: [condition.array(arm, value) for condition in conditions.values()] for arm in arms}
    missing = {
        arm: ", ".join(
            f"{why_none(condition, arm)} in {workload}"
            for (workload, condition), own in zip(conditions.items(), scores[arm], strict=True)
            if np.isnan(own).all()
        )
        for arm in arms
    }
    complete = [arm for arm in arms if not missing[arm]]
    means = np.array([[np.nanmean(own) for own in scores[arm]] for arm in complete]).T  # (workloads, arms)
    ranks = average_ranks(means, not study.question.facts.higher_is_better) if complete else np.zeros(0)
    baseline = study.question.baseline
    compared = len(complete) - 1 if baseline in complete else 0
    p = wilcoxon_holm(means, complete.index(baseline)) if compared else np.full(len(complete), math.nan)
    summaries = {
        arm: Summary(
            group, column, arm, names, *_interquartile_mean(scores[arm]), float(rank), len(complete), float(p_arm),
            replicates_needed(compared) if compared and arm != baseline else 0,
        )
        for arm, rank, p_arm in zip(complete, ranks, p, strict=True)
    }  # fmt: skip
    return [summaries.get(arm) or Summary(group, column, arm, names, why_none=missing[arm]) for arm in arms]


def _interquartile_mean(scores: Sequence[NDArray[np.float64]]) -> tuple[float, float, float]:
    """Mean, low and high end; workloads may differ in their number of replicates."""
    laid_out = np.array(list(itertools.zip_longest(*scores, fillvalue=math.nan)))  # (replicates, workloads)
    if np.isfinite(laid_out).sum(axis=0).max() < 2:  # one replicate a workload shows no spread
        return interquartile_mean(laid_out), math.nan, math.nan
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    return interquartile_mean(laid_out), *stratified_bootstrap(laid_out, interquartile_mean, rng, BOOTSTRAP_SAMPLES)


def _table(study: Study, group: str, summaries: list[Summary], diverged: tuple[str, ...]) -> Table:
    question, metric = study.question, study.question.facts

    def text(row: Row, *values: float) -> str:
        return " to ".join(figure(value, metric, width=(row.high - row.low) / 2) for value in values)

    def p_text(row: Row) -> str:
        if row.too_few:
            return f"too few workloads ({len(row.workloads)} of {row.workloads_needed})"
        return p_value(row.p_holm)

    names = dict.fromkeys(workload for summary in summaries for workload in summary.workloads)
    notes = [
        f"Workloads: {'; '.join(names)}.",
        "Interquartile mean: the mean of the middle half of all runs, over workloads and replicates. Its 95 % interval is a bootstrap: "
        f"replicates are drawn again within each workload, {BOOTSTRAP_SAMPLES} times, seed {BOOTSTRAP_SEED}. It is about other seeds "
        "on these workloads, not about other workloads.",
        f"Average rank: over the workloads, by mean {metric.title}, among the arms that have every workload. 1 is best.",
    ]
    if any(summary.workloads_needed for summary in summaries):
        notes.append(
            f"p: exact signed-rank test of the means against {question.baseline} over the workloads, corrected by Holm's method over "
            f"the arms of the condition. k workloads allow no p below 2/2^k. Where that cannot reach {SIGNIFICANCE}, the cell says how "
            "many workloads are needed. It does not mean that there is no difference."
        )
    else:
        notes.append(
            f"Nothing is tested: {question.baseline}, the baseline, lacks a workload, or no other arm has all of them."
        )
    left_out = dict.fromkeys(summary.arm for summary in summaries if summary.why_none)
    if left_out:
        notes.append(f"Left out where they lack a workload: {', '.join(left_out)}.")
    return Table(
        name="workloads",
        title=f"Test {metric.title} across workloads" + (f", {group}" if group else ""),
        columns=(
            Column(question.columns, "column", label=True),
            Column(question.rows, "arm", label=True),
            Column("interquartile mean", "mean", lambda row: text(row, row.mean), metric.unit),
            Column("95 % interval", "low", lambda row: EMPTY if math.isnan(row.low) else text(row, row.low, row.high)),
            Column("average rank", "rank", lambda row: f"{row.rank:.2f} of {row.ranked}"),
            Column(
                f"p against {question.baseline} (Holm)", "p_holm", p_text,
                strong=lambda row: row.p_holm <= SIGNIFICANCE and not row.too_few,
            ),
            Column("workloads", lambda row: len(row.workloads), always=True),
        ),
        rows=summaries,
        notes=(*notes, *diverged),
    )  # fmt: skip
