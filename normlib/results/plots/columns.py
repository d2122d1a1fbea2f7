"""The figures of a value against the axis of the conditions: the metric, the gap between train and test, the time of a step.

In: a study. Out: a `Figure` with a point for each arm and condition, whose hover text has the figure of every replicate.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from normlib.results.plots.description import (
    Figure,
    Panel,
    Trace,
    arm_styles,
    column_axis,
    condition_name,
    limits_of,
    places_of,
    signed,
    within,
)
from normlib.results.stats import mean_interval, median_interval
from normlib.results.study.gap import gap_resolution, gaps
from normlib.results.study.metrics import bracketed, difference_unit, scale, title
from normlib.results.study.study import Condition, Study
from normlib.results.tables.table import table_name
from normlib.tasks.metric import Metric

MOST_LISTED = 30
"""Of so many replicates hovering shows each; the rest are counted."""
A_LINE = 2
"""Replicates on one line of a hover text."""
Bounds = tuple[float, float, float]
"""A value with the low and the high end of its interval, NaN where there is none."""


def metric(study: Study) -> Figure | None:
    """The value of the tables against the axis of the conditions, with 95 % t intervals; None where no run has it."""
    value, facts = study.question.value, study.question.facts
    factor, name = scale(facts), title(value, facts)
    return by_condition(
        study, table_name(facts), lambda condition, arm: factor * condition.array(arm, value),
        lambda condition, values: _mean(values, factor * condition.resolution(value, facts)),
        unit=facts.unit, digits="{:.1f}" if facts.percent else "{:.4g}", y_title=bracketed(name, facts.unit),
        caption=f"{name[:1].upper()}{name[1:]}: mean over seeds with its 95 % t interval.", limited=facts,
    )  # fmt: skip


def gap(study: Study) -> Figure | None:
    """Train minus test, run by run; None where no run has both."""
    facts = study.question.facts
    factor, unit = scale(facts), difference_unit(facts)
    return by_condition(
        study, "gap", lambda condition, arm: factor * gaps(study, condition, arm),
        lambda condition, values: _mean(values, factor * gap_resolution(study, condition)),
        unit=unit, digits="{:+.1f}" if facts.percent else "{:+.4g}", y_title=bracketed(f"train − test {facts.title}", unit),
        caption=f"Train {facts.title} minus test {facts.title}, run by run: mean over seeds with its 95 % t interval.",
    )  # fmt: skip


def cost(study: Study) -> Figure | None:
    """Milliseconds an optimizer step; None where no run was timed."""
    return by_condition(
        study, "cost", lambda condition, arm: 1000 * condition.array(arm, "seconds_per_step"),
        lambda _, values: median_interval(values), unit="ms", digits="{:.3g}", y_title="time of a step (ms)",
        caption="Time of an optimizer step: median over seeds. The interval is exact (order statistics) and needs 6 seeds.",
        from_zero=True,
    )  # fmt: skip


def _mean(values: NDArray[np.float64], resolution: float) -> Bounds:
    interval = mean_interval(values, resolution=resolution)
    mean, width = float(interval.mean), float(interval.half_width)
    return mean, mean - width, mean + width


def by_condition(
    study: Study, name: str, values: Callable[[Condition, str], NDArray[np.float64]],
    summary: Callable[[Condition, NDArray[np.float64]], Bounds], *, unit: str, digits: str, y_title: str, caption: str,
    limited: Metric | None = None, from_zero: bool = False,
) -> Figure | None:  # fmt: skip
    """A figure of a value against the axis of the conditions, a panel a section, for a table of your own too; None without values.

    `values` gives the value of each replicate, (replicates,), of an arm in a condition, NaN where there is none, in the `unit` that
    is shown; `summary` makes one value of them, with the low and the high end of its interval or NaN. `name` is that of the files.
    `digits` is a format for hover texts, `limited` the metric whose limits the values have, `from_zero` where the axis begins.
    """
    found = [
        (section, arm, [(each, values(each, arm), each.diverged(arm)) for each in conditions if arm in each.arms])
        for section, conditions in study.conditions.items()
        for arm in study.arms(section)
    ]
    arrays = [np.where(np.isfinite(array), array, math.nan) for *_, mine in found for _, array, _ in mine]
    if all(np.isnan(array).all() for array in arrays):
        return None
    axis = column_axis(study)
    limits = limits_of(limited, arrays) if limited else (0.0 if from_zero else None, None)
    traces: dict[str, list[Trace]] = {section: [] for section in study.conditions}
    for section, arm, mine in found:
        mine = [each for each in mine if np.isfinite(each[1]).any() or each[2].any()]
        if mine:
            ends = [summary(each, np.where(np.isfinite(array), array, math.nan)) for each, array, _ in mine]
            y, low, high = within(limits, *np.array(ends).T)
            hover = [
                _hover(study, arm, *each, bounds, digits, unit)
                for each, bounds in zip(mine, zip(y, low, high), strict=True)
            ]
            x = places_of(study, axis, arm, [each.column for each, _, _ in mine])
            traces[section].append(Trace(arm, [x], y, low, high, np.array([lost.sum() for *_, lost in mine]), hover))
    panels = [Panel(section, own) for section, own in traces.items() if own]
    return Figure(
        name=name, caption=caption, panels=panels, axes=[axis], y_title=y_title, styles=arm_styles(study), limits=limits,
        share_y=not from_zero, from_zero=from_zero,
    )  # fmt: skip


def _hover(
    study: Study, arm: str, condition: Condition, values: NDArray[np.float64], diverged: NDArray[np.bool_],
    bounds: Bounds, digits: str, unit: str,
) -> list[str]:  # fmt: skip
    """The summary, and the figure of every replicate."""
    unit = f" {unit}" if unit else ""
    middle, low, high = (signed(digits.format(bound)) for bound in bounds)
    interval = f" ({low} to {high})" if math.isfinite(sum(bounds)) else ""
    each = [
        f"seed {replicate}: {signed(digits.format(value)) + unit if math.isfinite(value) else 'no figure'}{' (diverged)' if lost else ''}"
        for replicate, value, lost in zip(condition.replicates, values, diverged, strict=True)
        if math.isfinite(value) or lost
    ]
    listed = [" · ".join(each[place : place + A_LINE]) for place in range(0, min(len(each), MOST_LISTED), A_LINE)]
    listed += [f"and {len(each) - MOST_LISTED} more"] if len(each) > MOST_LISTED else []
    n = int(np.isfinite(values).sum())
    said = f"{middle}{unit}{interval}, n = {n}" if n else "no figure is left"
    return [arm, condition_name(study, condition.column), said, *listed]
