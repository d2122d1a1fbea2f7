"""One panel of a figure, drawn with matplotlib: its traces with their intervals, what diverged, and its two axes.

In: matplotlib's `Axes`, and a figure with one of its panels. Out: the panel, drawn. Sheets and files are made in static.py.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from normlib.results.plots.description import LOG, Axis, Figure, Panel, Trace
from normlib.results.plots.style import PALETTE, Style
from normlib.results.store.quoting import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTER_INCHES = 0.06
"""A letter of 7 points, on average with some room."""
LONGEST_LABEL = 32
"""Letters of a label below an axis."""
LEANING, SHORT_INCHES = 30, 0.4
"""The angle of labels that find no room beside each other; shorter ones stand upright."""
TICK_INCHES = 0.45
"""Between ticks that matplotlib chooses."""
PAPER, INK, GRID, ROPE, QUIET = "white", "black", "0.9", "0.88", "0.35"
RING: dict[str, Any] = {
    "marker": "o", "linestyle": "none", "markerfacecolor": "none", "markeredgecolor": INK, "markersize": 7.5, "markeredgewidth": 0.8,
}  # fmt: skip
"""Around a point behind which runs diverged."""


def draw_panel(axes: Axes, figure: Figure, panel: Panel, inches: float) -> None:
    if figure.log_beyond is not None:
        axes.set_yscale("symlog", linthresh=figure.log_beyond)
        axes.set_yticks(figure.y_ticks, [f"{tick:g}".replace("-", "−") for tick in figure.y_ticks])
        axes.set_yticks([], minor=True)
    if figure.rope is not None:
        axes.axhspan(-figure.rope, figure.rope, color=ROPE, linewidth=0, zorder=0)
    if figure.zero_line:
        axes.axhline(0, color=QUIET, linewidth=0.6, zorder=1)
    for trace in panel.traces:
        _draw_trace(axes, figure, trace)
    axes.grid(axis="y", color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    _horizontal(axes, figure.axes[0], inches)


def fit_vertical(axes: Axes, figure: Figure) -> None:
    """What the vertical axis shows: all intervals, with room for markers, and nothing beyond the limits of the values."""
    bottom, top = axes.get_ylim()
    room = 0.02 * (top - bottom)  # for markers
    least, most = figure.limits
    axes.set_ylim(
        0 if figure.from_zero else bottom if least is None else max(bottom, least - room),
        top if most is None else min(top, most + room),
    )


def _draw_trace(axes: Axes, figure: Figure, trace: Trace) -> None:
    style, x = figure.styles[trace.arm], trace.x[0]
    color, order = PALETTE[style.color][0], 2.5 if style.control else 3
    settings = line_settings(style, figure.axes[0].has_lines, 0.6 if figure.bands else 1.0)
    known = np.isfinite(trace.low) & np.isfinite(trace.high)
    if figure.bands:
        axes.fill_between(
            x, trace.low, trace.high, where=known.tolist(), color=color, alpha=0.15, linewidth=0, zorder=2
        )
    else:
        axes.vlines(
            x[known], trace.low[known], trace.high[known], color=color, linewidth=style.line_width, zorder=order
        )
    axes.plot(x, trace.y, clip_on=False, zorder=order, **settings)
    for there, y, transform in (
        (np.isfinite(trace.y), trace.y, axes.transData),
        (~np.isfinite(trace.y), np.zeros(len(x)), axes.get_xaxis_transform()),  # on the axis: no figure is left
    ):
        broken: NDArray[np.bool_] = there & (trace.diverged > 0)
        if broken.any():
            axes.plot(
                x[broken],
                y[broken],
                transform=transform,
                clip_on=False,
                zorder=order,
                **(settings | {"linestyle": "none"}),
            )
            axes.plot(x[broken], y[broken], transform=transform, clip_on=False, zorder=4, **RING)


def line_settings(style: Style, line: bool, size: float = 1.0) -> dict[str, Any]:
    """What matplotlib's `plot` takes for an arm's line with markers."""
    color = PALETTE[style.color][0]
    return {
        "color": color, "marker": style.marker, "linestyle": (0, style.dashes) if line else "none",
        "linewidth": style.line_width, "markersize": style.marker_size * size, "markeredgewidth": 0.9,
        "markerfacecolor": color if style.filled else PAPER,
    }  # fmt: skip


def _horizontal(axes: Axes, axis: Axis, inches: float) -> None:
    """The scale, the ticks and what is shown."""
    if axis.span is None:
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=max(2, round(inches / TICK_INCHES)))
        return
    if axis.kind == LOG:
        axes.set_xscale("log", base=2)
    angle = label_angle(axis, inches)
    leaning = {"rotation": angle, "ha": "right", "rotation_mode": "anchor"} if angle == LEANING else {"rotation": angle}
    axes.set_xticks(axis.ticks, [cut(label, LONGEST_LABEL) for label in axis.labels], **leaning)
    axes.set_xticks([], minor=True)
    axes.set_xlim(axis.span)


def label_angle(axis: Axis, inches: float) -> int:
    """By how many degrees the labels are turned, so that they do not run into each other."""
    if axis.span is None:
        return 0
    first, last, *ticks = (math.log2(end) if axis.kind == LOG else end for end in (*axis.span, *axis.ticks))
    widths = [LETTER_INCHES * (len(cut(label, LONGEST_LABEL)) + 1) for label in axis.labels]
    places = sorted((inches * tick / (last - first), width) for tick, width in zip(ticks, widths, strict=True))
    if all(one + (left + right) / 2 < other for (one, left), (other, right) in itertools.pairwise(places)):
        return 0
    return LEANING if max(widths) > SHORT_INCHES else 90
