"""A figure's bytes as PNG or SVG.

In: a matplotlib Figure. Out: bytes, the same for the same figure. This file never touches the disk.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from normlib.results.plots.files.style import plain_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 200


def image(figure: Figure, kind: str) -> bytes:
    """The figure's bytes as "png" or "svg", without dates or random ids, so that equal figures are equal files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.BytesIO()
    (FigureCanvasAgg if kind == "png" else FigureCanvasSVG)(figure)
    metadata = {"Software": None} if kind == "png" else {"Date": None}
    with plain_style():
        figure.savefig(out, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
    return out.getvalue()
