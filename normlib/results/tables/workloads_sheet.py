"""Arms across workloads in words.

In: a study. Out: `Sheet`s. This file never computes a statistic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from normlib.results.study.comparison import SIGNIFICANCE
from normlib.results.study.metrics import bracketed, figure
from normlib.results.study.study import Study
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.sheet import EMPTY, Cell, Line, Sheet, number, p_value, sorted_by
from normlib.results.tables.workloads import BOOTSTRAP_SAMPLES, BOOTSTRAP_SEED, Summary, analyse, workloads
from normlib.tasks.metric import Metric


def sheets(study: Study) -> list[Sheet]:
    """A sheet for all workloads, or one for each value of what else varies; none where there is but one workload."""
    by_group: dict[str, list[Summary]] = {}
    for summary in analyse(study):
        by_group.setdefault(summary.group, []).append(summary)
    return [_sheet(study, group, summaries) for group, summaries in by_group.items()]


def _sheet(study: Study, group: str, summaries: Sequence[Summary]) -> Sheet:
    question = study.question
    return Sheet(
        name="workloads",
        title=f"Test {question.facts.title} across workloads" + (f", {group}" if group else ""),
        header=(
            question.columns, question.rows, bracketed("interquartile mean", question.facts.unit), "95 % interval", "average rank",
            f"p against {question.baseline} (Holm)", "workloads",
        ),
        lines=tuple(Line(summary.arm, _cells(summary, question.facts)) for summary in summaries),
        notes=(
            *_notes(study, summaries),
            *divergence_notes(each for section in workloads(study)[group].values() for each in study.conditions[section]),
        ),
        tidy=tuple(map(_tidy, summaries)),
        num_labels=2,
        in_terminal=False,
    )  # fmt: skip


def _cells(summary: Summary, metric: Metric) -> tuple[Cell, ...]:
    labels = (Cell(summary.column, number(summary.column)), Cell(summary.arm))
    count = Cell(str(len(summary.workloads)), float(len(summary.workloads)))
    if summary.why_none:
        return (*labels, Cell(summary.why_none), Cell(EMPTY), Cell(EMPTY), Cell(EMPTY), count)
    width = (summary.high - summary.low) / 2
    interval = (
        EMPTY
        if math.isnan(summary.low)
        else f"{figure(summary.low, metric, width=width)} to {figure(summary.high, metric, width=width)}"
    )
    return (
        *labels,
        Cell(figure(summary.mean, metric, width=width), summary.mean), Cell(interval, sorted_by(summary.low)),
        Cell(f"{summary.rank:.2f} of {summary.ranked}", summary.rank), _p_cell(summary), count,
    )  # fmt: skip


def _p_cell(summary: Summary) -> Cell:
    if len(summary.workloads) < summary.workloads_needed:
        return Cell(
            f"{len(summary.workloads)} workloads cannot show it; {summary.workloads_needed} needed",
            sorted_by(summary.p_holm),
        )
    return Cell(p_value(summary.p_holm), sorted_by(summary.p_holm), summary.p_holm <= SIGNIFICANCE)


def _notes(study: Study, summaries: Sequence[Summary]) -> tuple[str, ...]:
    baseline = study.question.baseline
    names = dict.fromkeys(workload for summary in summaries for workload in summary.workloads)
    notes = [
        f"Workloads: {'; '.join(names)}.",
        "Interquartile mean: the mean of the middle half of all runs, over workloads and replicates, with its 95 % bootstrap "
        f"interval (replicates drawn anew within each workload, {BOOTSTRAP_SAMPLES} times, seed {BOOTSTRAP_SEED}). It speaks of "
        "other seeds on these workloads, not of other workloads.",
        f"Average rank: over the workloads, by mean {study.question.facts.title}, 1 is best, among the arms that have every workload.",
    ]
    if any(summary.workloads_needed for summary in summaries):
        notes.append(
            f"p: exact signed-rank test of the means against {baseline} over the workloads, after Holm's correction over the arms "
            f"of the condition. k workloads allow no p below 2/2^k; where that cannot reach {SIGNIFICANCE}, the cell says how many "
            "workloads are needed. It does not mean that there is no difference."
        )
    else:
        notes.append(f"Nothing is tested: {baseline}, the baseline, lacks a workload, or no other arm has all.")
    left_out = dict.fromkeys(summary.arm for summary in summaries if summary.why_none)
    if left_out:
        notes.append(f"Left out where they lack a workload: {', '.join(left_out)}.")
    return tuple(notes)


def _tidy(summary: Summary) -> Mapping[str, object]:
    return vars(summary) | {"workloads": "; ".join(summary.workloads)}
