"""The learning curves as a plot: the metric on validation along the run, one condition at a time.

In: a study. Out: a `Plot` whose lines a reader puts against steps, samples or seconds. This file averages nothing; see
normlib.results.study.learning_curves.
"""

from __future__ import annotations

from normlib.results.plots.description import Panel, Plot, Trace, escaped, rounded
from normlib.results.study.learning_curves import Curve, learning_curves
from normlib.results.study.metrics import bracketed, scale, title
from normlib.results.study.study import Study

AXES = ("steps", "samples", "seconds")
EXACT_STEPS = 12
"""Digits, so that counts stay whole."""


def curves(study: Study) -> Plot | None:
    """Mean of the metric on validation with its 95 % t band; None where no run was looked at more than once."""
    metric = study.question.facts
    name = title(study.question.on("validation"), metric)
    panels = []
    for section, conditions in study.conditions.items():
        traces = [
            _trace(arm, condition.column, curve, scale(metric))
            for condition in conditions
            for arm, curve in learning_curves(study, section, condition.column).items()
            if len(curve.steps) > 1
        ]
        panels += [Panel(section, traces)] if traces else []
    if not panels:
        return None
    drawn = {trace.column for panel in panels for trace in panel.traces}
    return Plot(
        "curves", f"{name.capitalize()} along the run: mean over replicates, and the band of its 95 % t interval.", panels,
        y_title=escaped(bracketed(name, metric.unit)), top=100.0 if metric.percent else None, unit=escaped(metric.unit),
        decimals=1 if metric.percent else None,
        columns=[column for column in study.places.column_labels if column in drawn], axes=AXES,
    )  # fmt: skip


def _trace(arm: str, column: str, curve: Curve, factor: float) -> Trace:
    mean, width = factor * curve.mean, factor * curve.half_width
    axes = {"steps": curve.steps, "samples": curve.samples, "seconds": curve.seconds}
    return Trace(
        arm, {name: rounded(values, EXACT_STEPS if name != "seconds" else 4) for name, values in axes.items()},
        rounded(mean), rounded(mean - width), rounded(mean + width), (), column,
    )  # fmt: skip
