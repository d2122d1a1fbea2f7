"""The figure of the differences to the baseline, with their intervals and the region that counts as equal.

In: a study. Out: a `Figure`. Nothing is compared here; see normlib.results.study.pairing.
"""

from __future__ import annotations

import math

import numpy as np

from normlib.results.plots.description import (
    Figure,
    Panel,
    Trace,
    arm_styles,
    column_axis,
    condition_name,
    places_of,
)
from normlib.results.study.comparison import Comparison
from normlib.results.study.metrics import bracketed, difference_unit, figure, scale, title, with_unit
from normlib.results.study.study import Study

LINEAR_POINTS, WIDE_POINTS = 2.0, 10.0
"""Of a % metric: where an interval reaches beyond the wide ones, the axis is linear up to the linear ones and logarithmic from
there, so that a fall of 50 points and a gain of 1 are seen in one panel."""
TICKS = (1.0, 2.0, 5.0, 20.0, 100.0)


def differences(study: Study) -> Figure | None:
    """Each arm minus the baseline with the interval of the difference; None where nothing is compared."""
    question, metric = study.question, study.question.facts
    factor, unit, axis = scale(metric), difference_unit(metric), column_axis(study)
    found = [each for each in study.comparisons if each.diverged or not math.isnan(each.difference)]
    panels = []
    for section in study.places.sections:
        traces = []
        for arm in study.arms(section):
            mine = [each for each in found if (each.section, each.arm) == (section, arm)]
            if mine:
                y, low, high = factor * np.array([(each.difference, each.low, each.high) for each in mine]).T
                diverged = np.array([each.diverged + each.baseline_diverged for each in mine])
                x = places_of(study, axis, arm, [each.column for each in mine])
                traces.append(Trace(arm, [x], y, low, high, diverged, [_hover(study, each) for each in mine]))
        panels += [Panel(section, traces)] if traces else []
    if all(math.isnan(each.difference) for each in found):
        return None
    furthest = max(np.nanmax(np.abs([trace.y, trace.low, trace.high])) for panel in panels for trace in panel.traces)
    wide = bool(metric.percent and furthest > WIDE_POINTS)
    band = (
        "" if question.region is None else f" Shaded: differences of less than {question.region_words} count as equal."
    )
    beyond = f", log beyond ±{LINEAR_POINTS:g}" if wide else ""
    return Figure(
        name="differences", panels=panels, axes=[axis], styles=arm_styles(study), share_y=False,
        caption=f"Difference to {question.baseline} in {title(question.value, metric)}, with its 95 % interval.{band}",
        y_title=bracketed(f"difference to {question.baseline}", f"{unit}{beyond}".removeprefix(", ")),
        rope=None if question.region is None else factor * question.region,
        rope_label=f"equal in practice (±{question.region_words})",
        log_beyond=LINEAR_POINTS if wide else None,
        y_ticks=sorted({0.0, *TICKS, *(-tick for tick in TICKS)}) if wide else (),
        zero_line=True,
    )  # fmt: skip


def _hover(study: Study, comparison: Comparison) -> list[str]:
    one, metric = comparison, study.question.facts
    ends = (one.difference, one.low, one.high)
    difference, low, high = (figure(end, metric, sign=True, width=one.half_width) for end in ends)
    said = with_unit(difference, difference_unit(metric)) + (f" ({low} to {high})" if math.isfinite(sum(ends)) else "")
    how = f"unpaired: {one.unpaired}" if one.unpaired else f"better in {one.wins} of {one.n} pairs"
    counts = {one.arm: one.diverged, one.baseline: one.baseline_diverged}
    broken = [f"{count} {'run' if count == 1 else 'runs'} of {arm} diverged" for arm, count in counts.items() if count]
    return [f"{one.arm} − {one.baseline}", condition_name(study, one.column), said, how, *broken]
