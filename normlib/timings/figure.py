"""The figure of a bench: every norm's time as a ratio to torch.nn's layer, a panel a kind of pass.

In come `Timing`s, out goes a matplotlib Figure, or None where no norm has a counterpart. This file never touches the disk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normlib.results.plots.static import INCHES, plain_style
from normlib.results.plots.style import PALETTE, styles
from normlib.timings.contenders import ALLOWED
from normlib.timings.ratio import ratio
from normlib.timings.record import OURS, TORCH, Timing
from normlib.timings.tables import PASSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES_A_NORM, INCHES_AROUND = 0.3, 0.7
INCHES_A_NAME, MOST_COLUMNS = 0.155, 2
"""In the legend: the height of a line, and how many names stand on it."""
ROOM = 0.6
"""Of the height of a norm's row, what its inputs share."""


def draw(timings: Sequence[Timing]) -> Figure | None:
    """One row a norm, a mark with the interval of its ratio for each input; dashed where the ratio is the largest that is allowed."""
    compared = [timing for timing in timings if TORCH in timing.seconds]
    if not compared:
        return None
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    norms = list(dict.fromkeys(timing.norm for timing in compared))[::-1]
    kinds = [kind for kind in PASSES if any(timing.passes == kind for timing in compared)]
    look = styles(dict.fromkeys(_input(timing) for timing in compared))
    with plain_style():
        columns = min(len(look), MOST_COLUMNS)
        height = INCHES_A_NORM * len(norms) + INCHES_AROUND + INCHES_A_NAME * math.ceil(len(look) / columns)
        figure = Figure(figsize=(INCHES["text"], height), layout="constrained")
        panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for panel, kind in zip(panels, kinds, strict=True):
            for row, norm in enumerate(norms):
                of_norm = [timing for timing in compared if timing.norm == norm and timing.passes == kind]
                for index, timing in enumerate(of_norm):
                    found = ratio(timing.seconds[OURS], timing.seconds[TORCH])
                    height = row + ROOM * (0.5 - (index + 0.5) / len(of_norm))
                    style = look[_input(timing)]
                    mark = {"color": PALETTE[style.color][0], "marker": style.marker, "markersize": 3}
                    panel.plot([found.low, found.high], [height, height], color=mark["color"], linewidth=0.9)
                    panel.plot([found.value], [height], linestyle="none", **mark)
            panel.axvline(1.0, color=PALETTE["grey"][0], linewidth=0.8)
            panel.axvline(ALLOWED, color=PALETTE["grey"][0], linewidth=0.8, linestyle="--")
            panel.set_xscale("log", base=2)
            panel.xaxis.set_major_formatter("{x:g}")
            panel.set_yticks(range(len(norms)), norms)
            panel.set_xlabel("time / torch.nn's, in the same round (log scale)")
            panel.set_title(PASSES[kind])
        marks = [
            Line2D(
                [], [], color=PALETTE[style.color][0], marker=style.marker, linestyle="none", markersize=3, label=name
            )
            for name, style in look.items()
        ]
        figure.legend(handles=marks, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _input(timing: Timing) -> str:
    """What tells the inputs of one norm apart."""
    threads = f", {timing.threads} threads" if timing.threads > 1 else ""
    cold = ", cold" if timing.cache == "cold" else ""
    shape = timing.shape.replace("x", "×")
    return f"{shape} {timing.layout.replace('_', ' ')}, {timing.inputs}{cold}, {timing.dtype}{threads}, {timing.device}"
