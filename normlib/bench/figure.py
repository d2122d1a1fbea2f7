"""The figure of a bench: every norm's time as a ratio to torch.nn's layer, a panel a kind of pass.

In come `Timing`s, out goes a matplotlib Figure, or None where no norm has a counterpart. This file never touches the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normlib.bench.contenders import ALLOWED
from normlib.bench.ratio import ratio
from normlib.bench.record import OURS, TORCH, Timing
from normlib.bench.sheets import PASSES
from normlib.results.figures.panels import finish, panel_grid, settle
from normlib.results.figures.style import GREY, plain_style, styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES_A_NORM, INCHES_AROUND, WIDTH = 0.42, 1.3, 4.6
ROOM = 0.6
"""Of the height of a norm's row, what its inputs share."""


def draw(timings: Sequence[Timing]) -> Figure | None:
    """A dot an input with the interval of its ratio, one row a norm; dashed where the ratio is the largest that is allowed."""
    compared = [timing for timing in timings if TORCH in timing.seconds]
    if not compared:
        return None
    norms = list(dict.fromkeys(timing.norm for timing in compared))[::-1]
    kinds = [kind for kind in PASSES if any(timing.passes == kind for timing in compared)]
    look = styles(norms)
    with plain_style():
        size = (WIDTH, INCHES_A_NORM * len(norms) + INCHES_AROUND)
        figure, grid = panel_grid(1, len(kinds), size, "none", "all")
        for panel, kind in zip(grid[0], kinds, strict=True):
            for row, norm in enumerate(norms):
                of_norm = [timing for timing in compared if timing.norm == norm and timing.passes == kind]
                for index, timing in enumerate(of_norm):
                    found = ratio(timing.seconds[OURS], timing.seconds[TORCH])
                    height = row + ROOM * ((index + 0.5) / len(of_norm) - 0.5)
                    colour, marker, _ = look[norm]
                    panel.plot([found.low, found.high], [height, height], color=colour, linewidth=1.0)
                    panel.plot([found.median], [height], color=colour, marker=marker, markersize=3.5)
            panel.axvline(1.0, color=GREY, linewidth=0.8)
            panel.axvline(ALLOWED, color=GREY, linewidth=0.8, linestyle="--")
            panel.set_xscale("log")
            panel.set_yticks(range(len(norms)), norms)
            panel.set_xlabel("time / torch.nn's, in the same round (log scale)")
            finish(panel, PASSES[kind], "")
        settle(figure)
    return figure
