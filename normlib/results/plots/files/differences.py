"""The figure of the paired table: differences to the baseline by condition, with intervals, against the rope.

In: a study and its `Comparison`s. Out: a matplotlib Figure with a panel a section: a point an arm with its 95 % interval, a
line at zero, and the region of practical equivalence as a grey band. This file never computes a statistic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normlib.results.plots.files.panels import dodged, finish, horizontal, legend, section_panels, settle
from normlib.results.plots.files.style import Style, line_settings, plain_style, styles
from normlib.results.study.metrics import bracketed, difference_unit, scale
from normlib.results.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from normlib.results.study.comparison import Comparison

LINEAR_POINTS, WIDE_POINTS = 2.0, 10.0
"""Of a % metric: where an interval reaches beyond the wide ones, the axis is linear up to the linear ones and logarithmic from
there, so that a fall of 50 points and a gain of 1 are seen in one panel."""
TICKS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
DODGE = 0.42
"""Wider than that of other figures, so that intervals stand beside each other."""
ROPE_COLOUR, ZERO_COLOUR = "0.88", "0.35"


def draw_differences(study: Study, comparisons: Sequence[Comparison]) -> Figure | None:
    """The figure of all comparisons, or None where no difference could be measured."""
    measured = [each for each in comparisons if not math.isnan(each.difference)]
    by_section = {
        section: [each for each in measured if each.section == section]
        for section in dict.fromkeys(each.section for each in measured)
    }
    if not by_section:
        return None
    present = {each.arm for each in measured}
    chosen = styles(present, study.controls)
    style = {arm: chosen[arm] for arm in study.places.row_labels if arm in present}
    with plain_style():
        figure, panels = section_panels(len(by_section), share_y=False)
        for panel, (section, own) in zip(panels, by_section.items(), strict=True):
            _draw_panel(panel, study, section, own, style)
        legend(figure, style)
        settle(figure)
    return figure


def _draw_panel(panel: Axes, study: Study, section: str, own: Sequence[Comparison], style: dict[str, Style]) -> None:
    columns = [condition.column for condition in study.conditions[section]]
    where = horizontal(panel, columns, study.question.columns)
    metric, region = study.question.facts, study.question.region
    unit = scale(metric)
    if region is not None:
        panel.axhspan(-unit * region, unit * region, color=ROPE_COLOUR, linewidth=0, zorder=0)
    panel.axhline(0, color=ZERO_COLOUR, linewidth=0.8, zorder=1)
    for place, (arm, look) in enumerate(style.items()):
        mine = [each for each in own if each.arm == arm]
        if not mine:
            continue
        x = dodged(panel, (where[each.column] for each in mine), place, len(style), DODGE)
        y = [unit * each.difference for each in mine]
        settings = line_settings(arm, look)
        panel.plot(x, y, **settings | {"linewidth": settings["linewidth"] / 2})
        with_interval = [not math.isnan(each.low) for each in mine]
        panel.vlines(
            [at for at, known in zip(x, with_interval, strict=True) if known],
            [unit * each.low for each in mine if not math.isnan(each.low)],
            [unit * each.high for each in mine if not math.isnan(each.low)],
            color=look[0], linewidth=settings["linewidth"], zorder=2,
        )  # fmt: skip
    wide = metric.percent and max(abs(end) for each in own for end in _ends(each)) > WIDE_POINTS / 100
    if wide:
        panel.set_yscale("symlog", linthresh=LINEAR_POINTS)
        bottom, top = panel.get_ylim()
        ticks = [tick for tick in sorted({0.0, *TICKS, *(-tick for tick in TICKS)}) if bottom <= tick <= top]
        panel.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
        panel.set_yticks([], minor=True)
    unit_words = difference_unit(metric) + (f", log beyond ±{LINEAR_POINTS:g}" if wide else "")
    finish(panel, section, bracketed(f"difference to {study.question.baseline}", unit_words))


def _ends(comparison: Comparison) -> tuple[float, ...]:
    """The ends of the interval, or the difference where there is none."""
    known = not math.isnan(comparison.low)
    return (comparison.low, comparison.high) if known else (comparison.difference,)
