"""The gap between training and test figures: how much better an arm is on what it has seen.

No gap is judged: a small one comes from generalizing well or from fitting badly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from normlib.results.plots.columns import gap
from normlib.results.stats import mean_interval
from normlib.results.study.absence import why_none
from normlib.results.study.gap import gap_resolution, gaps
from normlib.results.study.metrics import difference_unit, in_unit, with_half_width
from normlib.results.study.study import Condition, Study
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.table import Column, Table, register_table, usual


@dataclass(frozen=True)
class Gap:
    """Train minus test figure of one arm in one condition, as it is stored: mean, half-width of its 95 % t interval, n."""

    section: str
    column: str
    arm: str
    mean: float = math.nan
    half_width: float = math.nan
    n: int = 0
    why_none: str = ""


@register_table(
    "gap",
    "Train minus test",
    "How much better a network does on the samples that it was trained on.",
    plots=[gap],
    order=70,
)
def gap_tables(study: Study) -> list[Table]:
    """A grid a section, arms × conditions; none where no run has a figure on both splits."""
    if not all(study.question.on(split) in study.runs for split in ("train", "test")):
        return []
    return [
        _table(study, section, [_gap(study, condition, arm) for condition in conditions for arm in condition.arms])
        for section, conditions in study.conditions.items()
    ]


def _gap(study: Study, condition: Condition, arm: str) -> Gap:
    interval = mean_interval(gaps(study, condition, arm), resolution=gap_resolution(study, condition))
    mean, half_width, n = float(interval.mean), float(interval.half_width), int(interval.n)
    return Gap(condition.section, condition.column, arm, mean, half_width, n, "" if n else why_none(condition, arm))


def _table(study: Study, section: str, rows: list[Gap]) -> Table:
    question, metric = study.question, study.question.facts
    usual_n = usual(row.n for row in rows)

    def text(row: Gap) -> str:
        number = f" (n={row.n})" if row.n != usual_n else ""
        return with_half_width(row.mean, row.half_width, metric, sign=True) + number

    unless = "" if {row.n for row in rows} <= {0, usual_n} else ", unless a cell says otherwise"
    above = "above" if metric.higher_is_better else "below"
    return Table(
        name="gap",
        title=in_unit(f"Train minus test {metric.title}", difference_unit(metric)) + (f", {section}" if section else ""),
        columns=(Column(f"{question.rows} \\ {question.columns}", "arm", label=True), Column("gap", "mean", text)),
        rows=rows,
        notes=(
            f"Mean over replicates ± half-width of its 95 % t interval; n = {usual_n}{unless}. "
            f"Both figures are those after the last step; {above} 0 an arm is better on what it was trained on.",
            *divergence_notes(study.conditions[section]),
        ),
        across={condition.column: condition.column for condition in study.conditions[section]},
        arms=study.arms(section),
    )  # fmt: skip
