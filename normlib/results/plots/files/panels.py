"""Panels: the sheet of small plots that every figure is, its horizontal axes, and its legend.

In: numbers of panels, labels of columns. Out: matplotlib's objects, empty but for axes. This file never draws a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from normlib.results.plots.files.style import FONT_POINTS, Style, line_settings
from normlib.results.store.quoting import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = (4.4, 3.4)
LEGEND_INCHES, LEGEND_LINES = 0.45, 3  # the room below every sheet, and how many lines may do with it
MAX_COLUMNS = 3
LONGEST_NAME, LONGEST_TITLE = 60, 100
"""Letters that a figure shows; no sheet has room for more, and of thousands each takes its time."""
LARGEST_NUMBER = 1e300
"""On an axis, which ends some way behind it."""
POINTS_AN_INCH = 72
LEGEND_LINE_INCHES, LEGEND_LETTER_INCHES = 0.85, 0.075  # a line with the space around it, and a letter of a name
Sharing = Literal["all", "row", "none"]
DODGE = 0.18
"""Columns (or octaves) between the first and the last row's points at one column, so that equal rows stay visible."""


def section_panels(number: int, share_y: bool) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, a few beside each other."""
    columns = 2 if number == 4 else min(number, MAX_COLUMNS)
    rows = math.ceil(number / columns)
    figure, grid = panel_grid(rows, columns, PANEL_INCHES, "none", "all" if share_y else "none")
    panels = [panel for line in grid for panel in line]
    for panel in panels[number:]:
        panel.set_axis_off()
    return figure, panels[:number]


def panel_grid(
    rows: int, columns: int, inches: tuple[float, float], share_x: Sharing, share_y: Sharing
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of rows × columns panels of that width and height, which share their axes so far."""
    from matplotlib.figure import Figure

    width, height = inches
    figure = Figure(figsize=(width * columns, height * rows + LEGEND_INCHES), layout="constrained")
    return figure, figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False).tolist()


def legend(figure: Figure, style: dict[str, Style]) -> None:
    """One legend for all panels, below them, in the order of `style`; a sheet with a long one grows by its lines."""
    from matplotlib.lines import Line2D

    longest = max((len(fitting(name)) for name in style), default=0)
    entry = LEGEND_LINE_INCHES + LEGEND_LETTER_INCHES * longest
    across = max(1, int(figure.get_figwidth() / entry))
    lines = math.ceil(len(style) / across)
    line_inches = 1.5 * FONT_POINTS / POINTS_AN_INCH  # matplotlib leaves half a letter's height between lines
    figure.set_figheight(figure.get_figheight() + max(0, lines - LEGEND_LINES) * line_inches)
    handles = [Line2D([], [], **line_settings(name, look)) for name, look in style.items()]
    figure.legend(
        handles, [fitting(name) for name in style], loc="outside lower center", ncols=math.ceil(len(style) / lines),
        frameon=False, handlelength=4.0,  # long enough to show a whole period of every line style
    )  # fmt: skip


def horizontal(panel: Axes, columns: Sequence[str], axis: str) -> dict[str, float]:
    """Where each column stands: on a log2 axis if they are positive numbers, else side by side; sets ticks and label."""
    name = words(axis)
    try:
        numbers = [float(column) for column in columns]
    except ValueError:
        numbers = []
    shown = [fitting(column) for column in columns]
    if len(set(numbers)) > 1 and all(1 / LARGEST_NUMBER < number < LARGEST_NUMBER for number in numbers):
        panel.set_xscale("log", base=2)
        panel.set_xticks(numbers, shown)
        panel.set_xticks([], minor=True)
        panel.set_xlabel(name + (" (samples, log scale)" if name == "batch size" else " (log scale)"))
        return dict(zip(columns, numbers, strict=True))
    panel.set_xticks(range(len(columns)), shown)
    panel.set_xlim(-0.5, len(columns) - 0.5)
    panel.set_xlabel(name)
    return {column: float(place) for place, column in enumerate(columns)}


def dodged(panel: Axes, x: Iterable[float], place: int, places: int, width: float = DODGE) -> list[float]:
    """The places of one of several rows on the horizontal axis, set a little apart from the others'."""
    shift = (place - (places - 1) / 2) * width / max(places - 1, 1)
    return [at * 2**shift if panel.get_xscale() == "log" else at + shift for at in x]


def finish(panel: Axes, title: str, y_label: str) -> None:
    """Title, label and grid, the same in every figure."""
    panel.set_title(fitting(title, LONGEST_TITLE), fontsize=FONT_POINTS + 1)
    panel.set_ylabel(fitting(y_label))
    panel.grid(axis="y", color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)


def fitting(text: str, most: int = LONGEST_NAME) -> str:
    """The text as a figure can hold it, on one line, cut where it is too long."""
    return cut(text, most)


def settle(figure: Figure) -> None:
    """Lay the finished figure out once and for all; otherwise it would be done again for every file."""
    engine = figure.get_layout_engine()
    assert engine is not None  # see panel_grid
    engine.execute(figure)
    figure.set_layout_engine("none")


def words(setting: str) -> str:
    """The name of a setting as a reader says it: batch size, optimizer lr."""
    return setting.removeprefix("data.").replace("_", " ").replace(".", " ")
