"""The plot of the differences to the baseline, with their intervals and the region that counts as equal.

In: a study and its comparisons. Out: a `Plot`. This file compares nothing; see normlib.results.study.pairing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from normlib.results.plots.description import Cell, Panel, Plot, column_axis, condition_name, placed, text_lines
from normlib.results.study.comparison import Comparison
from normlib.results.study.metrics import bracketed, difference_unit, figure, scale, title, with_unit
from normlib.results.study.study import Study
from normlib.tasks.metric import Metric


def differences(study: Study, comparisons: Sequence[Comparison]) -> Plot | None:
    """Each arm minus the baseline with the interval of the difference; None where nothing is compared."""
    question, metric = study.question, study.question.facts
    cells: dict[tuple[str, str], list[Cell]] = {}
    for one in comparisons:
        if not math.isnan(one.difference):
            cells.setdefault((one.section, one.arm), []).append(_cell(study, one, metric))
    panels = [
        Panel(section, [placed(study, arm, cells[section, arm]) for arm in study.arms(section) if (section, arm) in cells])
        for section in study.places.sections
    ]  # fmt: skip
    panels = [panel for panel in panels if panel.traces]
    if not panels:
        return None
    band = (
        ""
        if question.region is None
        else f" Grey band: differences of less than {question.region_words}, which count as equal."
    )
    return Plot(
        "differences", f"Difference to {question.baseline} in {title(question.value, metric)}, with its 95 % interval.{band}", panels,
        text_lines([bracketed(f"difference to {question.baseline}", difference_unit(metric))]), column_axis(study),
        rope=None if question.region is None else scale(metric) * question.region, unit=difference_unit(metric),
    )  # fmt: skip


def _cell(study: Study, one: Comparison, metric: Metric) -> Cell:
    factor = scale(metric)
    bounds = (factor * one.difference, factor * one.low, factor * one.high)
    difference, low, high = (
        figure(bound, metric, sign=True, width=one.half_width) for bound in (one.difference, one.low, one.high)
    )
    figures = with_unit(difference, difference_unit(metric))
    figures += f" ({low} to {high})" if math.isfinite(sum(bounds)) else ""
    how = f"unpaired: {one.unpaired}" if one.unpaired else f"better in {one.wins} of {one.n} pairs"
    return (
        one.column,
        bounds,
        text_lines([f"{one.arm} − {one.baseline}", condition_name(study, one.column), figures, how]),
    )
