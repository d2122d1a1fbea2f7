"""The figure: a value against the columns' axis, a line a row with its interval as a band, a panel a section.

In: `Table`s. Out: a matplotlib Figure, and its bytes as PNG or SVG, the same bytes for the same tables. Colour, marker
and line style go together and belong to a name, so that a norm looks the same everywhere and survives a grey printer.
This file never computes a statistic, never opens a window and never touches the disk.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from normlib.results.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, safe for colour-blind readers; yellow is left out, it is lost on white.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000",
)  # fmt: skip
SOLID, DASHED, DOTTED, DASH_DOT, LONG = (0, ()), (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (9, 2))
Style = tuple[str, str, tuple[int, tuple[Any, ...]]]
"""Colour, marker, line style."""

STYLES: dict[str, Style] = {
    "batch": (BLUE, "o", SOLID),
    "layer": (ORANGE, "s", DASHED),
    "instance": (PURPLE, "v", DASH_DOT),
    "group": (VERMILION, "D", LONG),
    "batch_renorm": (GREEN, "^", DOTTED),
    "none": (BLACK, "x", (0, (3, 2, 1, 2, 1, 2))),
}
OTHER_STYLES: tuple[Style, ...] = tuple(
    (colour, marker, line)
    for (marker, line) in zip("P*Xhp<>d", (SOLID, DASHED, DASH_DOT, LONG) * 2, strict=True)
    for colour in (SKY, VERMILION, GREEN, PURPLE, BLUE, ORANGE)
)
PANEL_INCHES = (4.4, 3.4)
MAX_COLUMNS = 3
DODGE = 0.18
"""Columns (or octaves) between the first and the last row's points at one column, so that equal rows stay visible."""
FONT_POINTS = 9


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name: the known norms have theirs, others one that follows from the name.

    Two unknown names in one figure never share a style as long as there are any left; the later in the alphabet yields.
    """
    chosen: dict[str, Style] = {}
    taken: set[Style] = set()
    for name in sorted(set(names)):
        if name in STYLES:
            chosen[name] = STYLES[name]
            continue
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        turns = (OTHER_STYLES[(start + turn) % len(OTHER_STYLES)] for turn in range(len(OTHER_STYLES)))
        free = next((style for style in turns if style not in taken), OTHER_STYLES[start % len(OTHER_STYLES)])
        chosen[name] = free
        taken.add(free)
    return chosen


def draw(tables: Sequence[Table]) -> Figure | None:
    """The figure of all tables, or None where no cell has a figure."""
    tables = [table for table in tables if any(cell.n for cell in table.cells.values())]
    if not tables:
        return None
    from matplotlib.figure import Figure

    columns = 2 if len(tables) == 4 else min(len(tables), MAX_COLUMNS)
    rows = math.ceil(len(tables) / columns)
    width, height = PANEL_INCHES
    with _plain_style():
        figure = Figure(figsize=(width * columns, height * rows + 0.45), layout="constrained")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        drawn = {row for table in tables for row in table.rows if _points(table, row)[0]}
        names = [row for row in max((table.rows for table in tables), key=len) if row in drawn]
        names += sorted(drawn - set(names))
        chosen = styles(names)
        style = {name: chosen[name] for name in names}
        for panel, table in zip(grid.flat, tables, strict=False):
            _panel(panel, table, style)
            panel.yaxis.set_tick_params(labelleft=True)
        if tables[0].value.endswith("accuracy"):  # after the last panel, since all share these limits
            bottom, top = grid.flat[0].get_ylim()
            grid.flat[0].set_ylim(max(bottom, -1), min(top, 101))
        for panel in grid.flat[len(tables) :]:
            panel.set_axis_off()
        handles = {line.get_label(): line for panel in grid.flat for line in panel.get_lines()}
        figure.legend(
            [handles[name] for name in names], names, loc="outside lower center", ncols=min(len(names), 6),
            frameon=False, handlelength=4.0,  # long enough to show a whole period of every line style
        )  # fmt: skip
    return figure


def image(figure: Figure, kind: str) -> bytes:
    """The figure's bytes as "png" or "svg", without dates or random ids, so that equal figures are equal files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.BytesIO()
    (FigureCanvasAgg if kind == "png" else FigureCanvasSVG)(figure)
    with _plain_style():
        figure.savefig(out, format=kind, dpi=200, metadata={"Software": None} if kind == "png" else {"Date": None})
    return out.getvalue()


def _plain_style() -> AbstractContextManager[None]:
    """Matplotlib's own defaults, whatever the user's matplotlibrc says, and a fixed salt for ids in the SVG."""
    from matplotlib import style

    ours = {"svg.hashsalt": "normlib", "font.size": FONT_POINTS, "axes.spines.top": False, "axes.spines.right": False}
    return cast("AbstractContextManager[None]", style.context(["default", ours]))


def _points(table: Table, row: str) -> tuple[list[str], list[float], list[float]]:
    """The columns where a row has a figure, its means and half-widths there; percentages for accuracies."""
    unit = 100.0 if table.value.endswith("accuracy") else 1.0
    columns = [column for column in table.columns if table.cell(row, column).n]
    cells = [table.cell(row, column) for column in columns]
    return columns, [unit * cell.mean for cell in cells], [unit * cell.half_width for cell in cells]


def _panel(panel: Axes, table: Table, style: dict[str, Style]) -> None:
    where, label = _horizontal(panel, table)
    apart = DODGE / max(len(style) - 1, 1)
    for place, row in enumerate(style):
        columns, means, widths = _points(table, row)
        if not columns:
            continue
        colour, marker, line = style[row]
        shift = (place - (len(style) - 1) / 2) * apart
        x = [where[column] * 2**shift if panel.get_xscale() == "log" else where[column] + shift for column in columns]
        panel.plot(
            x, means, color=colour, marker=marker, linestyle=line, linewidth=1.4, label=row, zorder=3, clip_on=False,
            markersize=5, markerfacecolor=colour if marker == "x" else "white", markeredgewidth=1.2,
        )  # fmt: skip
        low, high = ([m + sign * (w if w == w else 0) for m, w in zip(means, widths, strict=True)] for sign in (-1, 1))
        panel.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0, zorder=2)
    accuracy = table.value.endswith("accuracy")
    panel.set_title(table.section, fontsize=FONT_POINTS + 1)
    panel.set_xlabel(label)
    panel.set_ylabel(table.value.replace(".", " ").replace("_", " ") + (" (%)" if accuracy else ""))
    panel.grid(axis="y", color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)


def _horizontal(panel: Axes, table: Table) -> tuple[dict[str, float], str]:
    """Where each column stands: on a log2 axis if they are positive numbers, else side by side; and the axis label."""
    name = table.column_axis.removeprefix("data.").replace("_", " ").replace(".", " ")
    try:
        numbers = [float(column) for column in table.columns]
    except ValueError:
        numbers = []
    if numbers and min(numbers) > 0 and len(set(numbers)) > 1:
        panel.set_xscale("log", base=2)
        panel.set_xticks(numbers, table.columns)
        panel.set_xticks([], minor=True)
        unit = " (samples, log scale)" if name == "batch size" else " (log scale)"
        return dict(zip(table.columns, numbers, strict=True)), name + unit
    panel.set_xticks(range(len(table.columns)), table.columns)
    panel.set_xlim(-0.5, len(table.columns) - 0.5)
    return {column: float(place) for place, column in enumerate(table.columns)}, name
