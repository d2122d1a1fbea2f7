"""Figures as files for papers and notebooks, drawn with matplotlib: PNG, SVG and PDF, as wide as a column or the text.

In: a `Figure` of description.py. Out: matplotlib's figure, and bytes, which are the same for the same figure. Matplotlib is
imported when the first figure is drawn, since that takes a third of a second.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from normlib.results.plots.description import Figure, Panel
from normlib.results.plots.static_panels import (
    LETTER_INCHES,
    LONGEST_LABEL,
    QUIET,
    RING,
    ROPE,
    draw_panel,
    fit_vertical,
    label_angle,
    line_settings,
)
from normlib.results.store.quoting import cut

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

INCHES = {"column": 3.35, "text": 6.9}
"""The widths that a figure can have: of a column and of the text in a paper of two columns."""
KINDS = ("png", "svg", "pdf")
FONT_POINTS, SMALL_POINTS = 8.0, 7.0
"""Of titles, and of everything else. Figures are made for the width at which they are printed."""
DOTS_PER_INCH = 200
MOST_ACROSS = {"column": 2, "text": 3}
"""Panels beside each other; of conditions, which share their axes, `CONDITIONS`."""
CONDITIONS, MOST_ROWS = {"column": 2, "text": 5}, 4
PANEL_HEIGHTS = (1.25, 2.4)
"""Inches, the least and the most; between them 0.7 of the width."""
LINE_INCHES, HANDLE_INCHES, GAP_INCHES = 0.155, 0.42, 0.25
"""Of a legend: a line, the piece of a line that it shows, and what is left free around a name."""
LONGEST_NAME = 60
"""Letters that a figure shows; of thousands each takes its time."""
DIVERGED = "runs diverged (on the axis: no figure left)"
Item = TypeVar("Item")


def svg(figure: Figure, width: str = "text") -> str:
    """The figure as SVG, which a notebook shows."""
    return image(draw(figure, width), "svg").decode()


def image(drawn: Drawn, kind: str) -> bytes:
    """The bytes of a drawn figure, one of `KINDS`, without dates, versions or random ids: equal figures are equal files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out, title = io.BytesIO(), {"Title": drawn.get_label()} if drawn.get_label() else {}
    with plain_style():  # and by the methods that savefig calls after it has drawn everything once for nothing
        drawn.dpi = DOTS_PER_INCH
        if kind == "png":
            FigureCanvasAgg(drawn).print_png(out, metadata={**title, "Software": None})
        elif kind == "svg":
            FigureCanvasSVG(drawn).print_svg(out, metadata={**title, "Date": None, "Creator": None})
        elif kind == "pdf":
            nameless = {"CreationDate": None, "Creator": None, "Producer": None}
            with _quiet_fonts():
                FigureCanvasPdf(drawn).print_pdf(out, metadata={**title, **nameless})
        else:
            raise ValueError(f"a figure is written as {', '.join(KINDS)}, got {kind!r}")
    return out.getvalue()


@contextlib.contextmanager
def _quiet_fonts() -> Iterator[None]:
    """Keep fontTools from logging every glyph that a PDF takes, at a level at which users log their training."""
    fonts = logging.getLogger("fontTools")
    before = fonts.level
    fonts.setLevel(logging.WARNING)
    try:
        yield
    finally:
        fonts.setLevel(before)


def plain_style() -> AbstractContextManager[None]:
    """Matplotlib's own defaults, whatever the user's matplotlibrc says, with text that stays text in SVG and PDF."""
    from matplotlib import style

    ours = {
        "svg.hashsalt": "normlib", "svg.fonttype": "none", "pdf.fonttype": 42, "text.parse_math": False,  # a name's $ is a $
        "font.size": SMALL_POINTS, "axes.titlesize": FONT_POINTS, "figure.labelsize": SMALL_POINTS, "axes.linewidth": 0.6,
        "axes.labelsize": SMALL_POINTS, "axes.spines.top": False, "axes.spines.right": False, "legend.fontsize": SMALL_POINTS,
        "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    }  # fmt: skip
    return cast("AbstractContextManager[None]", style.context(["default", ours]))


def draw(figure: Figure, width: str = "text") -> Drawn:
    """The figure at its width in print. Of many panels it shows an even choice, and says so. KeyError for other widths."""
    inches = INCHES[width]
    rows, left_out = _rows(figure, width)
    across = max(map(len, rows))
    panel_inches = (inches - 0.55 - (0 if figure.share_y else 0.3 * (across - 1))) / across
    height = min(max(0.7 * panel_inches, PANEL_HEIGHTS[0]), PANEL_HEIGHTS[1])
    by_row = len(figure.columns) > 1  # then a row is a section
    with plain_style():
        from matplotlib.figure import Figure as Sheet
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        entries, ncols = _legend(figure, inches)
        below = LINE_INCHES * math.ceil(len(entries) / ncols) + 0.1
        titles = [_wrapped(panel.column if by_row else panel.section, panel_inches) for row in rows for panel in row]
        title_lines = max(title.count("\n") + bool(title) for title in titles)
        axis = figure.axes[0]
        longest = LETTER_INCHES * min(max(map(len, axis.labels), default=0), LONGEST_LABEL)
        turned = longest * math.sin(math.radians(label_angle(axis, panel_inches)))
        size = (inches, len(rows) * (height + 0.25 + turned + 0.15 * title_lines) + 0.2 + below + 0.15 * bool(left_out))
        layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02)
        sheet = Sheet(figsize=size, layout=layout, label=figure.caption)
        grid = sheet.subplots(len(rows), across, sharey="all" if figure.share_y else "none", squeeze=False)
        for row, line in zip(rows, grid, strict=True):
            for panel, axes in zip(row, line, strict=False):
                draw_panel(axes, figure, panel, panel_inches)
                axes.set_title(_wrapped(panel.column if by_row else panel.section, panel_inches))
            section = [_wrapped(row[0].section, height)] if by_row and row[0].section else []
            line[0].set_ylabel("\n".join([*section, _wrapped(figure.y_title, height)]))
            for axes in line[len(row) :]:
                axes.set_axis_off()
        for axes in grid.flat if not figure.share_y else grid.flat[:1]:  # which sets those of all
            fit_vertical(axes, figure)
        for axes in [line[place] for place in range(across) for line in [grid[-1 if place < len(rows[-1]) else -2]]]:
            axes.set_xlabel(_wrapped(axis.title, panel_inches))
        if left_out:
            sheet.suptitle(left_out, fontsize=SMALL_POINTS, color=QUIET)
        sheet.legend(
            handles=entries, loc="outside lower center", ncols=ncols, frameon=False, borderpad=0.2, columnspacing=1.5,
            handlelength=HANDLE_INCHES * 72 / SMALL_POINTS,
        )  # fmt: skip
        layout.execute(sheet)
        sheet.set_layout_engine("none")  # laid out once, and not again for every file
    return sheet


def even_choice(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _rows(figure: Figure, width: str) -> tuple[list[list[Panel]], str]:
    """The panels row by row, and what was left out: a row is a section with its conditions, or a line of sections."""
    if len(figure.columns) > 1:
        columns, sections = even_choice(figure.columns, CONDITIONS[width]), even_choice(figure.sections, MOST_ROWS)
        there = {(panel.section, panel.column): panel for panel in figure.panels}
        rows = [
            [there.get((section, column), Panel(section, (), column)) for column in columns] for section in sections
        ]
        counts = [(len(columns), len(figure.columns), "conditions"), (len(sections), len(figure.sections), "sections")]
    else:
        number = len(figure.panels)
        across = 2 if number == 4 else 1 if width == "column" and number == 2 else min(number, MOST_ACROSS[width])
        panels = even_choice(figure.panels, across * MOST_ROWS)
        rows = [panels[place : place + across] for place in range(0, len(panels), across)]
        counts = [(len(panels), number, "sections")]
    missing = [f"{shown} of {all_there} {what}" for shown, all_there, what in counts if shown < all_there]
    return rows, " and ".join(missing) + "; the page has all" if missing else ""


def _legend(figure: Figure, inches: float) -> tuple[list[Any], int]:
    """An entry for each arm and for what else is marked, and in how many columns they fit."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    line = figure.axes[0].has_lines
    entries: list[Any] = [
        Line2D([], [], label=cut(arm, LONGEST_NAME), **line_settings(figure.styles[arm], line)) for arm in figure.arms
    ]
    entries += [Line2D([], [], label=DIVERGED, **RING)] if figure.any_diverged else []
    entries += [Patch(color=ROPE, label=figure.rope_label)] if figure.rope is not None else []
    widths = [HANDLE_INCHES + GAP_INCHES + LETTER_INCHES * len(str(entry.get_label())) for entry in entries]
    fitting = (
        ncols
        for ncols in range(len(entries), 1, -1)
        if sum(max(column) for column in np.array_split(widths, ncols)) <= inches
    )
    return entries, next(fitting, 1)


def _wrapped(text: str, inches: float) -> str:
    """The text on as many lines as it needs there."""
    return textwrap.fill(cut(text, 2 * LONGEST_NAME), max(8, int(inches / LETTER_INCHES)))
