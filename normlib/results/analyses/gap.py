"""The gap between training and test accuracy: how much better an arm is on what it has seen.

In: a study. Out: the mean gap with its interval, by arm and condition, and sheets with the words.
This file judges no gap: a small one comes from generalizing well or from fitting badly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from normlib.results.absence import why_none
from normlib.results.analyses.divergence import divergence_notes
from normlib.results.sheet import EMPTY, Entry, Line, Sheet, points
from normlib.results.statistics import mean_interval
from normlib.results.study import ACCURACY, Study

TRAIN_ACCURACY = "train.accuracy"


@dataclass(frozen=True)
class Gap:
    """Train minus test accuracy of one arm in one condition, fractions: mean, half-width of its 95 % t interval, n."""

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
            step = math.hypot(condition.resolution(TRAIN_ACCURACY), condition.resolution(ACCURACY))
            for arm in condition.arms:
                difference = condition.array(arm, TRAIN_ACCURACY) - condition.array(arm, ACCURACY)
                interval = mean_interval(difference, resolution=step)
                why = "" if interval.n else why_none(condition, arm)
                mean, width, n = float(interval.mean), float(interval.half_width), int(interval.n)
                gaps.append(Gap(condition.section, condition.column, arm, mean, width, n, why))
    return tuple(gaps)


def sheets(study: Study) -> list[Sheet]:
    """A sheet a section, arms × conditions."""
    by_section: dict[str, dict[tuple[str, str], Gap]] = {}
    for gap in analyse(study):
        by_section.setdefault(gap.section, {})[gap.arm, gap.column] = gap
    return [_sheet(study, section, cells) for section, cells in by_section.items()]


def _sheet(study: Study, section: str, cells: dict[tuple[str, str], Gap]) -> Sheet:
    columns = [condition.column for condition in study.conditions[section]]
    counts = [gap.n for gap in cells.values() if gap.n]
    usual_n = max(set(counts), key=counts.count, default=0)
    unless = "" if set(counts) <= {usual_n} else ", unless a cell says otherwise"
    return Sheet(
        name="gap",
        title="Train minus test accuracy in points" + (f", {section}" if section else ""),
        header=(f"{study.question.rows} \\ {study.question.columns}", *columns),
        lines=tuple(
            Line(arm, (Entry(arm), *(_entry(cells.get((arm, column)), usual_n) for column in columns)))
            for arm in study.arms(section)
        ),
        notes=(
            f"Mean over replicates ± half-width of its 95 % t interval; n = {usual_n}{unless}. "
            "Both accuracies are those after the last step.",
            *divergence_notes(study.conditions[section]),
        ),
        tidy=tuple(vars(gap) for gap in cells.values()),
        in_terminal=False,
    )  # fmt: skip


def _entry(gap: Gap | None, usual_n: int) -> Entry:
    if gap is None or gap.why_none:
        return Entry(gap.why_none if gap else EMPTY)
    width = "" if gap.n < 2 else f" ± {points(gap.half_width)}"
    return Entry(points(gap.mean, sign=True) + width + (f" (n={gap.n})" if gap.n != usual_n else ""), gap.mean)
