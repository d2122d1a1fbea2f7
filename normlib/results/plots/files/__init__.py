"""The static figures: the metric, differences to the baseline, and learning curves.

In: a study, its tables and comparisons. Out: matplotlib Figures by name, and their bytes. Matplotlib is imported when the
first figure is drawn, since that takes a third of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from normlib.results.plots.files.differences import draw_differences
from normlib.results.plots.files.image import image
from normlib.results.plots.files.learning_curves import draw_learning_curves
from normlib.results.plots.files.style import CONTROL_STYLE, OTHER_STYLES, STYLES, Style, styles
from normlib.results.plots.files.values import draw
from normlib.results.tables.means import comparison
from normlib.results.tables.table import table_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from normlib.results.study.study import Study

DIFFERENCES, LEARNING_CURVES = "differences", "learning_curves"
"""The names of the figures beside that of the metric, which is named as its table is."""

__all__ = [
    "CONTROL_STYLE", "DIFFERENCES", "LEARNING_CURVES", "OTHER_STYLES", "STYLES", "Style", "draw", "draw_differences",
    "draw_learning_curves", "figures", "image", "styles",
]  # fmt: skip


def figures(study: Study) -> dict[str, Figure]:
    """The figures by name, without those that have nothing to show."""
    if not len(study.runs):
        return {}
    drawn = {
        table_name(study.question.facts): draw(comparison(study)),
        DIFFERENCES: draw_differences(study, study.comparisons),
        LEARNING_CURVES: draw_learning_curves(study),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}
