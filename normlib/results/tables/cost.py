"""What an arm costs: time a step, memory, parameters and state, by condition.

Medians over replicates, and the ratio of times to the baseline. Times are those of the machine that ran the runs, with whatever
ran beside them. Nothing is tested.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from normlib.results.plots.columns import cost as cost_figure
from normlib.results.study.absence import why_none
from normlib.results.study.metrics import EMPTY
from normlib.results.study.study import Condition, Study
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.reinitialized import notes_of_section
from normlib.results.tables.table import Column, Row, Table, register_table

FIGURES = ("seconds_per_step", "peak_memory_bytes", "parameters.trunk", "parameters.norm", "state_size")
"""The columns of the runs that are read."""
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Cost:
    """One arm in one condition: medians over replicates, NaN where unknown."""

    section: str
    column: str
    arm: str
    n: int
    seconds_per_step: float
    ratio: float
    """Seconds a step, divided by the baseline's."""
    peak_memory_bytes: float
    """NaN too where a run took no more than what was there before it, which is how 0 is read."""
    trunk_parameters: float
    norm_parameters: float
    state_size: float
    why_none: str


@register_table(
    "cost",
    "Cost",
    "What a norm takes in time, memory and parameters, on the machines named below.",
    plots=[cost_figure],
    order=90,
)
def cost_tables(study: Study) -> list[Table]:
    """A table a section; none of runs that nobody measured."""
    if not any(name in study.runs for name in FIGURES):
        return []
    return [
        _table(study, section, [_cost(study, condition, arm) for condition in conditions for arm in condition.arms])
        for section, conditions in study.conditions.items()
    ]


def _cost(study: Study, condition: Condition, arm: str) -> Cost:
    seconds, memory, trunk, norm, state = (_median(condition, arm, name) for name in FIGURES)
    usual = _median(condition, study.question.baseline, "seconds_per_step") or math.nan  # no multiple of 0 seconds
    n = int((~np.isnan(condition.array(arm, "seconds_per_step"))).sum())
    why = "" if len(condition.trained(arm)) else why_none(condition, arm)
    memory = memory if memory > 0 else math.nan
    return Cost(condition.section, condition.column, arm, n, seconds, seconds / usual, memory, trunk, norm, state, why)


def _median(condition: Condition, arm: str, name: str) -> float:
    """The median over the replicates that have the figure; NaN without any."""
    values = condition.array(arm, name)
    present = values[~np.isnan(values)]
    return float(np.median(present)) if len(present) else math.nan


def _table(study: Study, section: str, costs: list[Cost]) -> Table:
    question = study.question

    def memory(row: Row) -> str:
        mebibytes = row.peak_memory_bytes / MEBIBYTE
        return EMPTY if math.isnan(mebibytes) else "< 0.1" if mebibytes < 0.1 else f"{mebibytes:,.1f}"

    notes = [
        "Medians over n replicates. ms a step: milliseconds of training an optimizer step, without start-up and evaluation, on the "
        f"machine that ran them, with whatever ran beside them. times {question.baseline}: the ratio of the medians in the same "
        "condition.",
        "State: numbers that norms keep in buffers, such as running averages.",
    ]
    if any(math.isnan(cost.peak_memory_bytes) and not cost.why_none for cost in costs):
        notes.append("Peak memory –: it could not be read, or the run took no more than what was there before it.")
    return Table(
        name="cost",
        title="Cost" + (f", {section}" if section else ""),
        columns=(
            Column(question.columns, "column", label=True),
            Column(question.rows, "arm", label=True),
            Column("ms a step", lambda row: 1000 * row.seconds_per_step, "{:.3g}"),
            Column(f"times {question.baseline}", "ratio", "{:.2f}"),
            Column("peak memory", "peak_memory_bytes", memory, "MiB"),
            Column("trunk parameters", "trunk_parameters", "{:,.0f}"),
            Column("norm parameters", "norm_parameters", "{:,.0f}"),
            Column("state", "state_size", "{:,.0f}"),
            Column("n", "n", always=True),
        ),
        rows=costs,
        notes=(
            *notes,
            *notes_of_section(study, section),
            *divergence_notes(study.conditions[section], "they count with the steps that they took"),
        ),
    )  # fmt: skip
