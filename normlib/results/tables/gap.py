"""The gap between training and test figures: how much better an arm is on what it has seen.

In: a study. Out: the mean gap with its interval, by arm and condition, and sheets with the words.
This file judges no gap: a small one comes from generalizing well or from fitting badly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.stats import mean_interval
from normlib.results.study.absence import why_none
from normlib.results.study.metrics import difference_unit, figure, in_unit
from normlib.results.study.study import Condition, Study
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.sheet import EMPTY, Entry, Line, Sheet
from normlib.tasks.metric import Metric


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


def analyse(study: Study) -> tuple[Gap, ...]:
    """Every arm in every condition in which it has runs of any status."""
    gaps = []
    for conditions in study.conditions.values():
        for condition in conditions:
            for arm in condition.arms:
                interval = mean_interval(gaps_of(study, condition, arm), resolution=step_of(study, condition))
                why = "" if interval.n else why_none(condition, arm)
                mean, width, n = float(interval.mean), float(interval.half_width), int(interval.n)
                gaps.append(Gap(condition.section, condition.column, arm, mean, width, n, why))
    return tuple(gaps)


def gaps_of(study: Study, condition: Condition, arm: str) -> NDArray[np.float64]:
    """Train minus test by replicate, (replicates,); NaN where a run lacks either."""
    return condition.array(arm, study.question.on("train")) - condition.array(arm, study.question.on("test"))


def step_of(study: Study, condition: Condition) -> float:
    """The step that the difference comes in, from those of both splits; 0 for a continuous metric."""
    question = study.question
    return math.hypot(*(condition.resolution(question.on(split), question.facts) for split in ("train", "test")))


def sheets(study: Study) -> list[Sheet]:
    """A sheet a section, arms × conditions; none where no run has a figure on both splits."""
    if not all(study.question.on(split) in study.runs for split in ("train", "test")):
        return []
    by_section: dict[str, dict[tuple[str, str], Gap]] = {}
    for gap in analyse(study):
        by_section.setdefault(gap.section, {})[gap.arm, gap.column] = gap
    return [_sheet(study, section, cells) for section, cells in by_section.items()]


def _sheet(study: Study, section: str, cells: dict[tuple[str, str], Gap]) -> Sheet:
    columns = [condition.column for condition in study.conditions[section]]
    counts = [gap.n for gap in cells.values() if gap.n]
    usual_n = max(set(counts), key=counts.count, default=0)
    metric = study.question.facts
    better = "above" if metric.higher_is_better else "below"
    unless = "" if set(counts) <= {usual_n} else ", unless a cell says otherwise"
    return Sheet(
        name="gap",
        title=in_unit(f"Train minus test {metric.title}", difference_unit(metric)) + (f", {section}" if section else ""),
        header=(f"{study.question.rows} \\ {study.question.columns}", *columns),
        lines=tuple(
            Line(arm, (Entry(arm), *(_entry(cells.get((arm, column)), usual_n, metric) for column in columns)))
            for arm in study.arms(section)
        ),
        notes=(
            f"Mean over replicates ± half-width of its 95 % t interval; n = {usual_n}{unless}. "
            f"Both figures are those after the last step; {better} 0 an arm is better on what it was trained on.",
            *divergence_notes(study.conditions[section]),
        ),
        tidy=tuple(vars(gap) for gap in cells.values()),
        in_terminal=False,
    )  # fmt: skip


def _entry(gap: Gap | None, usual_n: int, metric: Metric) -> Entry:
    if gap is None or gap.why_none:
        return Entry(gap.why_none if gap else EMPTY)
    width = "" if gap.n < 2 else f" ± {figure(gap.half_width, metric, width=gap.half_width)}"
    return Entry(
        figure(gap.mean, metric, sign=True, width=gap.half_width)
        + width
        + (f" (n={gap.n})" if gap.n != usual_n else ""),
        gap.mean,
    )
