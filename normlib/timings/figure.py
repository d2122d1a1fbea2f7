"""The figure of a bench: every norm's time as a ratio to torch.nn's layer, a panel a kind of pass.

In come `Timing`s, out goes a matplotlib Figure, or None where no norm has a counterpart. This file never touches the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normlib.results.plots.files.panels import finish, panel_grid, settle
from normlib.results.plots.files.style import GREY, plain_style, styles
from normlib.timings.contenders import ALLOWED
from normlib.timings.ratio import ratio
from normlib.timings.record import OURS, TORCH, Timing
from normlib.timings.tables import PASSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES_A_NORM, INCHES_AROUND, WIDTH = 0.42, 1.6, 4.6
MOST_COLUMNS = 3
ROOM = 0.6
"""Of the height of a norm's row, what its inputs share."""


def draw(timings: Sequence[Timing]) -> Figure | None:
    """One row a norm, a mark with the interval of its ratio for each input; dashed where the ratio is the largest that is allowed."""
    compared = [timing for timing in timings if TORCH in timing.seconds]
    if not compared:
        return None
    from matplotlib.lines import Line2D

    norms = list(dict.fromkeys(timing.norm for timing in compared))[::-1]
    kinds = [kind for kind in PASSES if any(timing.passes == kind for timing in compared)]
    look = styles(dict.fromkeys(_input(timing) for timing in compared))
    with plain_style():
        size = (WIDTH, INCHES_A_NORM * len(norms) + INCHES_AROUND)
        figure, grid = panel_grid(1, len(kinds), size, "none", "all")
        for panel, kind in zip(grid[0], kinds, strict=True):
            for row, norm in enumerate(norms):
                of_norm = [timing for timing in compared if timing.norm == norm and timing.passes == kind]
                for index, timing in enumerate(of_norm):
                    found = ratio(timing.seconds[OURS], timing.seconds[TORCH])
                    height = row + ROOM * (0.5 - (index + 0.5) / len(of_norm))
                    colour, marker, _ = look[_input(timing)]
                    panel.plot([found.low, found.high], [height, height], color=colour, linewidth=1.0)
                    panel.plot([found.value], [height], color=colour, marker=marker, markersize=4, linestyle="none")
            panel.axvline(1.0, color=GREY, linewidth=0.8)
            panel.axvline(ALLOWED, color=GREY, linewidth=0.8, linestyle="--")
            panel.set_xscale("log", base=2)
            panel.xaxis.set_major_formatter("{x:g}")
            panel.set_yticks(range(len(norms)), norms)
            panel.set_xlabel("time / torch.nn's, in the same round (log scale)")
            finish(panel, PASSES[kind], "")
        marks = [
            Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=4, label=name)
            for name, (colour, marker, _) in look.items()
        ]
        figure.legend(handles=marks, loc="outside lower center", ncols=min(len(marks), MOST_COLUMNS), frameon=False)
        settle(figure)
    return figure


def _input(timing: Timing) -> str:
    """What tells the inputs of one norm apart."""
    threads = f", {timing.threads} threads" if timing.threads > 1 else ""
    cold = ", cold" if timing.cache == "cold" else ""
    shape = timing.shape.replace("x", "×")
    return f"{shape} {timing.layout.replace('_', ' ')}, {timing.inputs}{cold}, {timing.dtype}{threads}, {timing.device}"
