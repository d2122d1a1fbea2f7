"""How a norm looks in the browser: the colour, marker and dashes of the static figures, in plotly's words and as SVG.

In: styles as `figures.styles` gives them, in matplotlib's words. Out: `Mark`s. This file chooses no style.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from normlib.results.plots.description import escaped
from normlib.results.plots.files.style import CONTROL_STYLE, styles

LINE_PIXELS, CONTROL_LINE_PIXELS = 2.0, 1.2
"""Width of lines; dashes are multiples of it, as in matplotlib."""
MARKER_PIXELS, CONTROL_MARKER_PIXELS = 8.0, 5.0
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
"""By matplotlib's marker: plotly's name of the symbol, and its outline around (0, 0) as an SVG path in pixels."""


@dataclass(frozen=True)
class Mark:
    """The look of one name. `label` is the name as a text for plotly, escaped; `dash` is a list of pixels as plotly takes it, "solid" where there are no gaps."""

    label: str
    color: str
    symbol: str
    path: str
    dash: str
    width: float
    size: float

    @property
    def stroke_dasharray(self) -> str:
        """The dashes as SVG takes them."""
        return "none" if self.dash == "solid" else self.dash.replace("px", "")


def marks(names: Iterable[str], controls: Collection[str] = ()) -> dict[str, Mark]:
    """A mark for each name, in the order given; the same names look the same in every figure."""
    names = list(names)
    chosen = styles(names, controls)
    made = {}
    for name in names:
        colour, marker, (_, lengths) = chosen[name]
        symbol, path = SYMBOLS[marker]
        width, size = (
            (CONTROL_LINE_PIXELS, CONTROL_MARKER_PIXELS)
            if chosen[name] == CONTROL_STYLE
            else (LINE_PIXELS, MARKER_PIXELS)
        )
        dash = ",".join(f"{width * float(length):g}px" for length in lengths) or "solid"
        made[name] = Mark(escaped(name), colour, symbol, path, dash, width, size)
    return made
