"""The figure of the learning curves: the metric on validation against training samples seen, with bands.

In: a study with curves. Out: a matplotlib Figure, a row of panels a section, a panel a condition; of many conditions and
sections an even choice, which the figure says. This file never computes a statistic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from normlib.results.plots.files.panels import finish, fitting, legend, panel_grid, settle, words
from normlib.results.plots.files.style import FONT_POINTS, Style, line_settings, plain_style, styles
from normlib.results.store.frame import run_names
from normlib.results.study.learning_curves import Curve, learning_curves
from normlib.results.study.metrics import bracketed, scale, title
from normlib.results.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = (2.6, 2.4)
MAX_SECTIONS, MAX_CONDITIONS = 2, 5
"""More panels cannot be read in print."""
Item = TypeVar("Item")


def draw_learning_curves(study: Study) -> Figure | None:
    """The figure, or None where no run was looked at more than once on its way."""
    sections = [section for section in study.conditions if _has_curve(study, section)]
    if not sections:
        return None
    shown = {
        section: {
            condition.column: learning_curves(study, section, condition.column)
            for condition in even_choice(study.conditions[section], MAX_CONDITIONS)
        }
        for section in even_choice(sections, MAX_SECTIONS)
    }
    present = {arm for columns in shown.values() for curves in columns.values() for arm in curves}
    chosen = styles(present, study.controls)
    style = {arm: chosen[arm] for arm in study.places.row_labels if arm in present}
    metric = study.question.facts
    name = fitting(bracketed(title(study.question.on("validation"), metric), metric.unit))
    with plain_style():
        figure, grid = panel_grid(len(shown), max(map(len, shown.values())), PANEL_INCHES, "row", "row")
        for line, (section, columns) in zip(grid, shown.items(), strict=True):
            for panel, (column, curves) in zip(line, columns.items(), strict=False):
                _draw_panel(panel, f"{words(study.question.columns)} {column}", curves, style, scale(metric))
            line[0].set_ylabel(f"{fitting(section)}\n{name}" if section else name)
            for panel in line[len(columns) :]:
                panel.set_axis_off()
        for panel in grid[-1]:
            panel.set_xlabel("training samples seen")
        legend(figure, style)
        if left_out := _left_out(study, sections, shown):
            figure.suptitle(left_out, fontsize=FONT_POINTS, color="0.35")
        settle(figure)
    return figure


def even_choice(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _has_curve(study: Study, section: str) -> bool:
    """Whether a run of the section has the metric at two points or more."""
    return any(
        len(study.curves.get(name, {}).get("validation", {}).get(study.question.facts.name, ())) > 1
        for condition in study.conditions[section]
        for name in run_names(condition.runs)
    )


def _left_out(study: Study, sections: Sequence[str], shown: Mapping[str, Mapping[str, object]]) -> str:
    conditions = max(len(study.conditions[section]) for section in shown)
    drawn = max(map(len, shown.values()))
    parts = [f"{drawn} of {conditions} conditions"] if drawn < conditions else []
    parts += [f"{len(shown)} of {len(sections)} sections"] if len(shown) < len(sections) else []
    return " and ".join(parts) + "; the page has all" if parts else ""


def _draw_panel(panel: Axes, title: str, curves: Mapping[str, Curve], style: Mapping[str, Style], unit: float) -> None:
    for arm, look in style.items():
        if arm not in curves:
            continue
        curve = curves[arm]
        settings = line_settings(arm, look)
        mean, half_width = unit * curve.mean, unit * curve.half_width
        panel.plot(curve.samples, mean, **settings | {"markersize": settings["markersize"] * 0.6})
        panel.fill_between(
            curve.samples,
            mean - half_width,
            mean + half_width,
            color=look[0],
            alpha=0.15,
            linewidth=0,
            zorder=2,
        )
    panel.set_xlim(left=0)
    finish(panel, title, "")
