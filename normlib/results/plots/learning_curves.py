"""The figure of the learning curves: the metric on validation along the run, one condition at a time.

In: a study. Out: a `Figure` whose lines stand against samples, steps or seconds. Nothing is averaged here; see
normlib.results.study.learning_curves.
"""

from __future__ import annotations

import numpy as np

from normlib.results.plots.description import Axis, Figure, Panel, Trace, arm_styles, limits_of, signed, within, words
from normlib.results.study import learning_curves as study_curves
from normlib.results.study.metrics import bracketed, scale, title
from normlib.results.study.study import Study

AXES = {"samples": "training samples seen", "steps": "optimizer steps", "seconds": "seconds of training"}
"""By what is counted, the title of its axis. Files show the first."""


def learning_curves(study: Study) -> Figure | None:
    """Mean of the metric on validation with its 95 % t band; None where no run was evaluated more than once."""
    metric = study.question.facts
    name, factor, axis = title(study.question.on("validation"), metric), scale(metric), study.question.columns
    found = [
        (condition, study_curves.learning_curves(study, section, condition.column))
        for section, conditions in study.conditions.items()
        for condition in conditions
    ]
    limits = limits_of(metric, (factor * curve.mean for _, curves in found for curve in curves.values()))
    panels = []
    for condition, curves in found:
        traces = []
        for arm, curve in curves.items():
            if len(curve.steps) > 1:
                mean, width = factor * curve.mean, factor * curve.half_width
                y, low, high = within(limits, mean, mean - width, mean + width)
                x = [curve.samples, curve.steps, curve.seconds]
                trace = Trace(arm, x, y, low, high, np.diff(curve.diverged, prepend=0))
                hover = [_hover(trace, i, metric.percent, metric.unit) for i in range(len(y))]
                traces.append(Trace(arm, x, y, low, high, trace.diverged, hover))
        panels += [Panel(condition.section, traces, f"{words(axis)} {condition.column}")] if traces else []
    if not panels:
        return None
    return Figure(
        name="learning_curves", panels=panels, axes=[Axis(text) for text in AXES.values()], styles=arm_styles(study),
        caption=f"{name.capitalize()} along the run: mean over seeds with the band of its 95 % t interval.",
        y_title=bracketed(name, metric.unit), limits=limits, bands=True,
    )  # fmt: skip


def _hover(trace: Trace, i: int, percent: bool, unit: str) -> list[str]:
    digits = "{:.1f}" if percent else "{:.4g}"
    middle, low, high = (signed(digits.format(values[i])) for values in (trace.y, trace.low, trace.high))
    interval = "" if np.isnan(trace.low[i]) else f" ({low} to {high})"
    where = ", ".join(f"{values[i]:,.6g} {what}" for what, values in zip(AXES, trace.x, strict=True))
    broken = [f"{trace.diverged[i]} diverged by here"] if trace.diverged[i] else []
    return [trace.arm, where, f"{middle}{f' {unit}' if unit else ''}{interval}", *broken]
