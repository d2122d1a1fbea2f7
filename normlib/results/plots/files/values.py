"""The figure of the main table: a value against the columns' axis, a line an arm with its interval as a band.

In: `Means`s. Out: a matplotlib Figure with a panel a section. This file never computes a statistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normlib.results.plots.files.panels import dodged, finish, horizontal, legend, section_panels, settle
from normlib.results.plots.files.style import Style, line_settings, plain_style, styles
from normlib.results.study.metrics import bracketed, scale, title
from normlib.results.tables.means import Means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(tables: Sequence[Means]) -> Figure | None:
    """The figure of all tables, or None where no cell has a figure."""
    tables = [table for table in tables if any(cell.n for cell in table.cells.values())]
    if not tables:
        return None
    drawn = {row for table in tables for row in table.rows if _points(table, row)[0]}
    names = [row for row in max((table.rows for table in tables), key=len) if row in drawn]
    names += sorted(drawn - set(names))
    chosen = styles(names, frozenset[str]().union(*(table.controls for table in tables)))
    style = {name: chosen[name] for name in names}
    with plain_style():
        figure, panels = section_panels(len(tables), share_y=True)
        for panel, table in zip(panels, tables, strict=True):
            _draw_panel(panel, table, style)
            panel.yaxis.set_tick_params(labelleft=True)
        if tables[0].metric.percent:  # after the last panel, since all share these limits
            bottom, top = panels[0].get_ylim()
            panels[0].set_ylim(max(bottom, -1), min(top, 101))
        legend(figure, style)
        settle(figure)
    return figure


def _points(table: Means, row: str) -> tuple[list[str], list[float], list[float]]:
    """The columns where a row has a figure, its means and half-widths there, as they are read."""
    unit = scale(table.metric)
    columns = [column for column in table.columns if table.cell(row, column).n]
    cells = [table.cell(row, column) for column in columns]
    return columns, [unit * cell.mean for cell in cells], [unit * cell.half_width for cell in cells]


def _draw_panel(panel: Axes, table: Means, style: dict[str, Style]) -> None:
    where = horizontal(panel, table.columns, table.column_axis)
    for place, (row, look) in enumerate(style.items()):
        columns, means, widths = _points(table, row)
        if not columns:
            continue
        x = dodged(panel, (where[column] for column in columns), place, len(style))
        panel.plot(x, means, clip_on=False, **line_settings(row, look))
        low, high = ([m + sign * (w if w == w else 0) for m, w in zip(means, widths, strict=True)] for sign in (-1, 1))
        panel.fill_between(x, low, high, color=look[0], alpha=0.15, linewidth=0, zorder=2)
    finish(panel, table.section, bracketed(title(table.value, table.metric), table.metric.unit))
