"""The static figures: accuracy, differences to the baseline, and learning curves.

In: a study, its tables and comparisons. Out: matplotlib Figures by name, and their bytes. Matplotlib is imported when the
first figure is drawn, since that takes a third of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normlib.results.figures.accuracy import draw
from normlib.results.figures.differences import draw_differences
from normlib.results.figures.image import image
from normlib.results.figures.learning_curves import draw_learning_curves
from normlib.results.figures.style import CONTROL_STYLE, OTHER_STYLES, STYLES, Style, is_control, styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from normlib.results.comparison import Comparison
    from normlib.results.study import Study
    from normlib.results.tables import Table

NAMES = ("accuracy", "differences", "learning_curves")
"""Of every figure that a report can have; one that has nothing to show is absent."""

__all__ = [
    "CONTROL_STYLE", "NAMES", "OTHER_STYLES", "STYLES", "Style", "draw", "draw_differences", "draw_learning_curves", "figures",
    "image", "is_control", "styles",
]  # fmt: skip


def figures(study: Study, tables: Sequence[Table], comparisons: Sequence[Comparison]) -> dict[str, Figure]:
    """The figures by name, less those that have nothing to show."""
    drawn = (draw(tables), draw_differences(study, comparisons), draw_learning_curves(study))
    return {name: figure for name, figure in zip(NAMES, drawn, strict=True) if figure is not None}
