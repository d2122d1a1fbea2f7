"""The plot of the differences to the baseline, with their intervals and the region that counts as equal.

In: a study and its comparisons. Out: a `Plot`. This file compares nothing; see normlib.results.paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from normlib.results.comparison import Comparison
from normlib.results.page.plots import Cell, Panel, Plot, column_axis, condition_name, placed, signed, text_lines, words
from normlib.results.study import Study


def differences(study: Study, comparisons: Sequence[Comparison]) -> Plot | None:
    """Each arm minus the baseline with the interval of the difference; None where nothing is compared."""
    question = study.question
    percent = question.percent
    cells: dict[tuple[str, str], list[Cell]] = {}
    for one in comparisons:
        if not math.isnan(one.difference):
            cells.setdefault((one.section, one.arm), []).append(_cell(study, one, percent))
    panels = [
        Panel(section, [placed(study, arm, cells[section, arm]) for arm in study.arms(section) if (section, arm) in cells])
        for section in study.places.sections
    ]  # fmt: skip
    panels = [panel for panel in panels if panel.traces]
    if not panels:
        return None
    band = f" Grey band: differences of less than {question.rope:g} points, which count as equal." if percent else ""
    return Plot(
        "differences", f"Difference to {question.baseline} in {words(question.value)}, with its 95 % interval.{band}", panels,
        text_lines([f"difference to {question.baseline}{' (points)' if percent else ''}"]), column_axis(study),
        rope=question.rope if percent else None,
    )  # fmt: skip


def _cell(study: Study, one: Comparison, percent: bool) -> Cell:
    bounds = (one.difference, one.low, one.high)
    bounds = (100 * bounds[0], 100 * bounds[1], 100 * bounds[2]) if percent else bounds
    difference, low, high = (signed(f"{bound:+.1f}" if percent else f"{bound:+.4g}") for bound in bounds)
    figures = f"{difference}{' points' if percent else ''}"
    figures += f" ({low} to {high})" if math.isfinite(sum(bounds)) else ""
    how = f"unpaired: {one.unpaired}" if one.unpaired else f"better in {one.wins} of {one.n} pairs"
    return (
        one.column,
        bounds,
        text_lines([f"{one.arm} − {one.baseline}", condition_name(study, one.column), figures, how]),
    )
