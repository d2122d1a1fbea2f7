"""How an arm looks: colour, marker and line style go together and belong to a name, here and on the page.

In: names of arms. Out: a style for each, so that a norm looks the same everywhere and survives a grey printer.
This file never draws, and needs no matplotlib to be imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any, cast

# Okabe and Ito's colours, safe for colour-blind readers; yellow is left out, it is lost on white.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000",
)  # fmt: skip
GREY = "#7F7F7F"
SOLID, DASHED, DOTTED, DASH_DOT, LONG = (0, ()), (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (9, 2))
Style = tuple[str, str, tuple[int, tuple[Any, ...]]]
"""Colour, marker, line style."""

STYLES: dict[str, Style] = {
    "batch": (BLUE, "o", SOLID),
    "layer": (ORANGE, "s", DASHED),
    "instance": (PURPLE, "v", DASH_DOT),
    "group": (VERMILION, "D", LONG),
    "batch_renorm": (GREEN, "^", DOTTED),
    "batch_renorm_fraction": (SKY, "P", (0, (4, 1.5, 1, 1.5))),
    "none": (BLACK, "x", (0, (3, 2, 1, 2, 1, 2))),
}
OTHER_STYLES: tuple[Style, ...] = tuple(
    (colour, marker, line)
    for (marker, line) in zip("*Xhp<>d", (DASHED, DASH_DOT, LONG, SOLID) * 2, strict=False)
    for colour in (SKY, VERMILION, GREEN, PURPLE, BLUE, ORANGE)
)
CONTROL_STYLE: Style = (GREY, ".", SOLID)
"""Of the baseline a second time, which shows the noise and is no method; no other arm has its marker."""
LINE_WIDTH, MARKER_SIZE = 1.4, 5.0
CONTROL_LINE_WIDTH, CONTROL_MARKER_SIZE = 0.8, 3.0
FONT_POINTS = 9


def styles(names: Iterable[str], controls: Collection[str] = ()) -> dict[str, Style]:
    """A style for each name: the known norms have theirs, controls are grey, others have one that follows from the name.

    Two unknown names in one figure never share a style as long as there are any left; the later in the alphabet yields.
    """
    chosen: dict[str, Style] = {}
    taken: set[Style] = set()
    for name in sorted(set(names)):
        if name in controls or name in STYLES:
            chosen[name] = CONTROL_STYLE if name in controls else STYLES[name]
            continue
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        turns = (OTHER_STYLES[(start + turn) % len(OTHER_STYLES)] for turn in range(len(OTHER_STYLES)))
        free = next((style for style in turns if style not in taken), OTHER_STYLES[start % len(OTHER_STYLES)])
        chosen[name] = free
        taken.add(free)
    return chosen


def line_settings(name: str, style: Style) -> dict[str, Any]:
    """What matplotlib's `plot` takes for an arm's line with markers; a control is thinner and smaller."""
    colour, marker, line = style
    control = style == CONTROL_STYLE
    return {
        "color": colour, "marker": marker, "linestyle": line, "label": name, "zorder": 3,
        "linewidth": CONTROL_LINE_WIDTH if control else LINE_WIDTH,
        "markersize": CONTROL_MARKER_SIZE if control else MARKER_SIZE,
        "markerfacecolor": colour if marker in "x." else "white", "markeredgewidth": 1.2,
    }  # fmt: skip


def plain_style() -> AbstractContextManager[None]:
    """Matplotlib's own defaults, whatever the user's matplotlibrc says, and a fixed salt for ids in the SVG."""
    from matplotlib import style

    ours = {"svg.hashsalt": "normlib", "font.size": FONT_POINTS, "axes.spines.top": False, "axes.spines.right": False}
    ours["text.parse_math"] = False  # names are strangers' texts, and a dollar sign in one is a dollar sign
    return cast("AbstractContextManager[None]", style.context(["default", ours]))
