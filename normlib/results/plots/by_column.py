"""The plots of a value against the columns' axis: the metric, train-minus-test gap, time of a step.

In: a study. Out: `Plot`s with a point for each arm and condition, whose hover text has the figure of every replicate.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from normlib.results.plots.description import (
    Bounds,
    Panel,
    Plot,
    column_axis,
    condition_name,
    escaped,
    placed,
    signed,
    text_lines,
)
from normlib.results.stats import mean_interval, median_interval
from normlib.results.study.metrics import bracketed, difference_unit, scale, title
from normlib.results.study.study import Condition, Study
from normlib.results.tables.gap import gaps_of, step_of

MOST_LISTED = 30
"""Of so many replicates hovering shows each; the rest are counted."""
A_LINE = 2
"""Replicates on one line of a hover text."""
METRIC = "metric"
"""The name of the plot of the metric, whichever that is."""


def metric_plot(study: Study) -> Plot | None:
    """The value of the tables against the columns' axis, with 95 % t intervals; None where no run has it."""
    value, metric = study.question.value, study.question.facts
    factor, name = scale(metric), title(value, metric)

    def summary(condition: Condition, values: NDArray[np.float64]) -> Bounds:
        return _mean(values, factor * condition.resolution(value, metric))

    return _by_column(
        study, METRIC, lambda condition, arm: factor * condition.array(arm, value), summary, unit=metric.unit,
        digits="{:.1f}" if metric.percent else "{:.4g}", top=100.0 if metric.percent else None,
        y_title=bracketed(name, metric.unit), caption=f"{name[:1].upper()}{name[1:]}: mean with 95 % t interval.",
    )  # fmt: skip


def gap(study: Study) -> Plot | None:
    """Train minus test; None where no run has both."""
    metric = study.question.facts
    factor, unit = scale(metric), difference_unit(metric)

    def summary(condition: Condition, values: NDArray[np.float64]) -> Bounds:
        return _mean(values, factor * step_of(study, condition))

    return _by_column(
        study, "gap", lambda condition, arm: factor * gaps_of(study, condition, arm), summary, unit=unit,
        digits="{:+.1f}" if metric.percent else "{:+.4g}", y_title=bracketed(f"train − test {metric.title}", unit),
        caption=f"Train {metric.title} minus test {metric.title}, run by run: mean with 95 % t interval.",
    )  # fmt: skip


def cost(study: Study) -> Plot | None:
    """Milliseconds an optimizer step; None where no run was timed."""
    return _by_column(
        study, "cost", lambda condition, arm: 1000 * condition.array(arm, "seconds_per_step"),
        lambda _, values: median_interval(values), unit="ms", digits="{:.3g}", y_title="time of a step (ms)",
        caption="Time of an optimizer step: median, and its 95 % interval from order statistics where n suffices (n ≥ 6).",
        from_zero=True,
    )  # fmt: skip


def _mean(values: NDArray[np.float64], resolution: float) -> Bounds:
    interval = mean_interval(values, resolution=resolution)
    mean, width = float(interval.mean), float(interval.half_width)
    return mean, mean - width, mean + width


def _by_column(
    study: Study, name: str, values: Callable[[Condition, str], NDArray[np.float64]],
    summary: Callable[[Condition, NDArray[np.float64]], Bounds], *, unit: str, digits: str, y_title: str, caption: str,
    top: float | None = None, from_zero: bool = False,
) -> Plot | None:  # fmt: skip
    """A value of each replicate, (replicates,), against the columns' axis, summarized by arm and condition."""
    panels = []
    for section, conditions in study.conditions.items():
        traces = []
        for arm in study.arms(section):
            found = [(condition, values(condition, arm)) for condition in conditions if arm in condition.arms]
            cells = [
                (condition.column, bounds, _hover(study, condition, arm, array, bounds, digits, unit))
                for condition, array in found if np.isfinite(array).any()
                for bounds in [summary(condition, np.where(np.isfinite(array), array, math.nan))]
            ]  # fmt: skip
            traces += [placed(study, arm, cells)] if cells else []
        panels += [Panel(section, traces)] if traces else []
    if not panels:
        return None
    return Plot(name, caption, panels, escaped(y_title), column_axis(study), top=top, from_zero=from_zero)


def _hover(
    study: Study, condition: Condition, arm: str, values: NDArray[np.float64], bounds: Bounds, digits: str, unit: str
) -> str:
    """The summary, and the figure of every replicate."""
    unit = f" {unit}" if unit else ""
    middle, low, high = (signed(digits.format(bound)) for bound in bounds)
    interval = f" ({low} to {high})" if math.isfinite(sum(bounds)) else ""
    broken = condition.diverged(arm)
    each = [
        f"seed {replicate}: {signed(digits.format(value))}{unit}{' (diverged)' if lost else ''}"
        for replicate, value, lost in zip(condition.replicates, values, broken, strict=True) if math.isfinite(value)
    ]  # fmt: skip
    listed = [" · ".join(each[place : place + A_LINE]) for place in range(0, min(len(each), MOST_LISTED), A_LINE)]
    listed += [f"and {len(each) - MOST_LISTED} more"] if len(each) > MOST_LISTED else []
    summary = f"{middle}{unit}{interval}, n = {len(each)}"
    return text_lines([arm, condition_name(study, condition.column), summary, *listed])
