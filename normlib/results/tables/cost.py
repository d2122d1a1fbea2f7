"""What an arm costs: time a step, memory, parameters and state, by condition.

In: a study. Out: medians over replicates, the ratio of times to the baseline, and sheets with the words. Times are of the
machine that ran them, among whatever else it did. This file tests nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.study.absence import why_none
from normlib.results.study.study import Condition, Study
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.reinitialized import notes_of_section
from normlib.results.tables.sheet import EMPTY, Cell, Line, Sheet, number, sorted_by

COUNTS = ("parameters.trunk", "parameters.norm", "state_size")
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Cost:
    """One arm in one condition: medians over replicates, NaN where unknown."""

    section: str
    column: str
    arm: str
    n: int = 0
    seconds_per_step: float = math.nan
    ratio: float = math.nan
    """Seconds a step, divided by the baseline's."""
    peak_memory_bytes: float = math.nan
    """NaN too where a run took no more than what was there before it, which is how 0 is read."""
    trunk_parameters: float = math.nan
    norm_parameters: float = math.nan
    state_size: float = math.nan
    why_none: str = ""


def analyse(study: Study) -> tuple[Cost, ...]:
    """Every arm in every condition in which it has runs of any status."""
    return tuple(
        cost
        for conditions in study.conditions.values()
        for condition in conditions
        for cost in _of_condition(condition, study.question.baseline)
    )


def sheets(study: Study) -> list[Sheet]:
    """A sheet a section; none of runs that nobody measured."""
    if not any(name in study.runs for name in ("seconds_per_step", "peak_memory_bytes", *COUNTS)):
        return []
    by_section: dict[str, list[Cost]] = {}
    for cost in analyse(study):
        by_section.setdefault(cost.section, []).append(cost)
    return [_sheet(study, section, costs) for section, costs in by_section.items()]


def _of_condition(condition: Condition, baseline: str) -> list[Cost]:
    usual = _median(condition.array(baseline, "seconds_per_step")) or math.nan  # nothing is a multiple of 0 seconds
    costs = []
    for arm in condition.arms:
        seconds = condition.array(arm, "seconds_per_step")
        median, memory = _median(seconds), _median(condition.array(arm, "peak_memory_bytes"))
        trained = len(condition.trained(arm)) > 0
        trunk, norm, state = (_median(condition.array(arm, name)) for name in COUNTS)
        costs.append(Cost(
            condition.section, condition.column, arm, int((~np.isnan(seconds)).sum()), median, median / usual,
            memory if memory > 0 else math.nan, trunk, norm, state, "" if trained else why_none(condition, arm),
        ))  # fmt: skip
    return costs


def _median(values: NDArray[np.float64]) -> float:
    """The median over the replicates that have the figure; NaN without any."""
    present = values[~np.isnan(values)]
    return float(np.median(present)) if len(present) else math.nan


def _sheet(study: Study, section: str, costs: Sequence[Cost]) -> Sheet:
    question = study.question
    return Sheet(
        name="cost",
        title="Cost" + (f", {section}" if section else ""),
        header=(
            question.columns, question.rows, "ms a step", f"times {question.baseline}", "peak memory (MiB)",
            "trunk parameters", "norm parameters", "state", "n",
        ),
        lines=tuple(Line(cost.arm, _cells(cost)) for cost in costs),
        notes=(
            *_notes(study, costs),
            *notes_of_section(study, section),
            *divergence_notes(study.conditions[section], "they count with the steps that they took"),
        ),
        tidy=tuple(vars(cost) for cost in costs),
        num_labels=2,
        in_terminal=False,
    )  # fmt: skip


def _cells(cost: Cost) -> tuple[Cell, ...]:
    labels = (Cell(cost.column, number(cost.column)), Cell(cost.arm))
    if cost.why_none:
        return (*labels, Cell(cost.why_none), *[Cell(EMPTY)] * 5, Cell("0", 0.0))
    return (
        *labels,
        _cell(1000 * cost.seconds_per_step, "{:.3g}"), _cell(cost.ratio, "{:.2f}"),
        _memory(cost.peak_memory_bytes / MEBIBYTE),
        *(_cell(count, "{:,.0f}") for count in (cost.trunk_parameters, cost.norm_parameters, cost.state_size)),
        Cell(str(cost.n), float(cost.n)),
    )  # fmt: skip


def _cell(value: float, form: str) -> Cell:
    return Cell(EMPTY if math.isnan(value) else form.format(value), sorted_by(value))


def _memory(mebibytes: float) -> Cell:
    return Cell("< 0.1", mebibytes) if mebibytes < 0.1 else _cell(mebibytes, "{:,.1f}")


def _notes(study: Study, costs: Sequence[Cost]) -> tuple[str, ...]:
    notes = [
        "Medians over n replicates. ms a step: milliseconds of training an optimizer step, without start-up and evaluation, on "
        "the machine that ran them, with whatever ran beside them; times "
        f"{study.question.baseline}: the ratio of the medians in the same condition.",
        "State: numbers that norms keep in buffers, such as running averages.",
    ]
    if any(math.isnan(cost.peak_memory_bytes) and not cost.why_none for cost in costs):
        notes.append("Peak memory –: it could not be read, or the run took no more than what was there before it.")
    return tuple(notes)
