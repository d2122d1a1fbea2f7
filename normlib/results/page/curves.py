"""The learning curves as a plot: validation accuracy along the run, one condition at a time.

In: a study. Out: a `Plot` whose lines a reader puts against steps, samples or seconds. This file averages nothing; see
normlib.results.analyses.learning_curves.
"""

from __future__ import annotations

from normlib.results.analyses.learning_curves import Curve, learning_curves
from normlib.results.page.plots import Panel, Plot, Trace, rounded
from normlib.results.study import Study

AXES = ("steps", "samples", "seconds")
EXACT_STEPS = 12
"""Digits, so that counts stay whole."""


def curves(study: Study) -> Plot | None:
    """Mean validation accuracy with its 95 % t band; None where no run was looked at more than once."""
    panels = []
    for section, conditions in study.conditions.items():
        traces = [
            _trace(arm, condition.column, curve)
            for condition in conditions
            for arm, curve in learning_curves(study, section, condition.column).items()
            if len(curve.steps) > 1
        ]
        panels += [Panel(section, traces)] if traces else []
    if not panels:
        return None
    drawn = {trace.column for panel in panels for trace in panel.traces}
    return Plot(
        "curves", "Validation accuracy along the run: mean over replicates, and the band of its 95 % t interval.", panels,
        y_title="validation accuracy (%)", top=100.0,
        columns=[column for column in study.places.column_labels if column in drawn], axes=AXES,
    )  # fmt: skip


def _trace(arm: str, column: str, curve: Curve) -> Trace:
    mean, width = 100 * curve.accuracy, 100 * curve.half_width
    axes = {"steps": curve.steps, "samples": curve.samples, "seconds": curve.seconds}
    return Trace(
        arm, {name: rounded(values, EXACT_STEPS if name != "seconds" else 4) for name, values in axes.items()},
        rounded(mean), rounded(mean - width), rounded(mean + width), (), column,
    )  # fmt: skip
