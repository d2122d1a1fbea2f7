"""Figures as page.js draws them with plotly, and plotly itself.

In: a `Figure` of plots/description.py. Out: JSON with rounded numbers and with texts that plotly, which reads tags in them, shows
as their letters. Which colours these are, light or dark, the style sheet says.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable
from typing import Any

from normlib.results.plots.description import Axis, Figure, Trace
from normlib.results.plots.style import Style

PIXELS = 1.85
"""Of a screen, for a point of print."""
SYMBOLS = {
    ".": ("circle", "M-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0z"),
    "o": ("circle", "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z"),
    "s": ("square", "M-3.2-3.2h6.4v6.4h-6.4z"),
    "D": ("diamond", "M0-4.3L4.3 0L0 4.3L-4.3 0z"),
    "d": ("diamond-tall", "M0-4.8L2.8 0L0 4.8L-2.8 0z"),
    "v": ("triangle-down", "M-4-3.2h8L0 4z"),
    "^": ("triangle-up", "M-4 3.2h8L0-4z"),
    "<": ("triangle-left", "M3.2-4v8L-4 0z"),
    ">": ("triangle-right", "M-3.2-4v8L4 0z"),
    "x": ("x-thin", "M-3.2-3.2L3.2 3.2M-3.2 3.2L3.2-3.2"),
    "P": ("cross", "M-1.4-4h2.8v2.6H4v2.8H1.4V4h-2.8V1.4H-4v-2.8h2.6z"),
    "X": ("x", "M-2-4L0-2L2-4L4-2L2 0L4 2L2 4L0 2L-2 4L-4 2L-2 0L-4-2z"),
    "*": ("star", "M0-4.6L1.1-1.5H4.4L1.8.5L2.7 3.7L0 1.8L-2.7 3.7L-1.8.5L-4.4-1.5H-1.1z"),
    "h": ("hexagon", "M0-4.2L3.6-2.1V2.1L0 4.2L-3.6 2.1V-2.1z"),
    "p": ("pentagon", "M0-4.2L4-1.3L2.5 3.4H-2.5L-4-1.3z"),
}
"""By the marker of a `Style`: plotly's name of the symbol, and its outline around (0, 0) as an SVG path in pixels."""
DIGITS_Y, DIGITS_X = 4, 7
"""Significant ones; no eye can tell more."""
_WRAPPER = re.compile(
    r"(?P<license>/\*\*.*?\*/)\s*\(\s*function\(root, factory\) \{.*?\(\) => \{\n(?P<body>.*)\nreturn Plotly;\n\}\)\);\s*",
    re.DOTALL,
)


def mark(style: Style) -> dict[str, Any]:
    """The look of an arm in plotly's words: the name of its colour, and sizes in pixels."""
    width = round(style.line_width * PIXELS, 2)
    return {
        "color": style.color, "symbol": SYMBOLS[style.marker][0], "size": round(style.marker_size * PIXELS, 1), "width": width,
        "dash": ",".join(f"{width * length:g}px" for length in style.dashes) or "solid",
    }  # fmt: skip


def encoded(figure: Figure) -> dict[str, Any]:
    """All that page.js needs of a figure, as plain JSON."""
    return {
        "panels": [
            {"section": panel.section, "column": panel.column, "traces": [_trace(trace) for trace in panel.traces]}
            for panel in figure.panels
        ],
        "sections": figure.sections, "axes": [_axis(axis) for axis in figure.axes], "y_title": escaped(figure.y_title),
        "limits": figure.limits, "share_y": figure.share_y, "from_zero": figure.from_zero, "bands": figure.bands,
        "zero_line": figure.zero_line, "rope": figure.rope, "log_beyond": figure.log_beyond, "y_ticks": list(figure.y_ticks),
    }  # fmt: skip


def escaped(text: str) -> str:
    """A text that plotly shows as its letters, on one line. Quotes stay as they are: plotly knows no entity for them."""
    return html.escape(" ".join(text.split()), quote=False)


def plotly_script() -> str:
    """plotly.js as the package brings it along, without what it wraps around itself for module loaders.

    A browser reads a wrapped function twice, which for all of plotly.js takes as long as drawing the page.
    """
    from plotly.offline import get_plotlyjs

    library = str(get_plotlyjs())
    wrapped = _WRAPPER.fullmatch(library)
    plain = f"{wrapped['license']}\n{wrapped['body']}" if wrapped else library
    return plain.replace("</script", "<\\/script")  # which would end the script


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "title": escaped(axis.title), "log": axis.kind == "log", "lines": axis.has_lines, "ticks": list(axis.ticks),
        "labels": [escaped(label) for label in axis.labels], "span": axis.span,
    }  # fmt: skip


def _trace(trace: Trace) -> dict[str, Any]:
    return {
        "arm": trace.arm, "x": [_rounded(x, DIGITS_X) for x in trace.x],
        **{name: _rounded(getattr(trace, name), DIGITS_Y) for name in ("y", "low", "high")},
        "diverged": [place for place, number in enumerate(trace.diverged) if number],
        "hover": ["<br>".join(map(escaped, lines)) for lines in trace.hover],
    }  # fmt: skip


def _rounded(values: Iterable[float], digits: int) -> list[float | None]:
    """So many significant digits; None for what is no finite number."""
    short = (float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values)
    return [int(value) if value is not None and value.is_integer() else value for value in short]
