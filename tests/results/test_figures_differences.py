"""Checks the figure of the differences: where points and intervals stand, the rope, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from normlib.results.plots.files import draw_differences, figures, image
from normlib.results.store.record import Record
from normlib.results.study.comparison import Comparison
from normlib.results.study.study import Study
from tests.results.factories import make_record, study_of

ROUNDING = 1e-9  # float64 on numbers near 100


def _study(
    norms: Sequence[str] = ("batch", "group", "layer"), models: Sequence[str] = ("mlp",), **question: object
) -> Study:
    return study_of(_records(norms, models), **question)


def _records(norms: Sequence[str], models: Sequence[str]) -> list[Record]:
    return [
        make_record(norm=norm, model=model, batch_size=size) for norm in norms for model in models for size in (2, 32)
    ]


def _made(arm: str, column: str, difference: float, half_width: float = 0.01, section: str = "") -> Comparison:
    low, high = difference - half_width, difference + half_width
    return Comparison(section, column, arm, "batch", n=5, difference=difference, low=low, high=high)


def _intervals(panel: Axes) -> list[list[float]]:
    """The ends of all vertical lines."""
    lines = [each for each in panel.collections if isinstance(each, LineCollection)]
    return [[float(y) for _, y in segment] for line in lines for segment in line.get_segments()]


def test_points_intervals_zero_line_and_rope() -> None:
    comparisons = [_made("group", "2", 0.05), _made("group", "32", -0.02), _made("layer", "32", 0.01)]
    figure = draw_differences(_study(rope=0.7), comparisons)
    assert figure is not None
    (panel,) = figure.axes
    zero, group, layer = panel.get_lines()
    assert list(zero.get_ydata()) == [0, 0]
    assert list(group.get_ydata()) == pytest.approx([5, -2], abs=ROUNDING) and group.get_label() == "group"
    assert list(layer.get_ydata()) == pytest.approx([1], abs=ROUNDING)
    assert np.ravel(_intervals(panel)).tolist() == pytest.approx([4, 6, -3, -1, 0, 2], abs=ROUNDING)
    (rope,) = panel.patches
    assert (rope.get_y(), rope.get_height()) == pytest.approx((-0.7, 1.4), abs=ROUNDING)
    assert panel.get_ylabel() == "difference to batch (points)" and panel.get_yscale() == "linear"


def test_a_wide_difference_makes_the_axis_logarithmic_beyond_two_points() -> None:
    figure = draw_differences(_study(), [_made("group", "2", 0.5), _made("layer", "32", -0.002)])
    assert figure is not None and figure.axes[0].get_yscale() == "symlog"
    assert "log beyond ±2" in figure.axes[0].get_ylabel()
    assert "50" in [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_one_seed_has_a_point_without_an_interval() -> None:
    comparison = Comparison("", "2", "group", "batch", n=1, difference=0.05)
    figure = draw_differences(_study(), [comparison])
    assert figure is not None and _intervals(figure.axes[0]) == []
    assert image(figure, "png").startswith(b"\x89PNG")


def test_a_panel_a_section_and_none_without_a_difference() -> None:
    comparisons = [_made("group", "2", 0.1, section=f"model={model}") for model in ("convnet", "mlp")]
    figure = draw_differences(_study(models=("mlp", "convnet")), comparisons)
    assert figure is not None
    assert [panel.get_title() for panel in figure.axes] == ["model=convnet", "model=mlp"]
    figure = draw_differences(_study(models=("mlp", "convnet")), comparisons[:1])
    assert figure is not None and len(figure.axes) == 1
    failed = Comparison("", "2", "group", "batch", why_none="failed 3/3")
    assert draw_differences(_study(), [failed]) is None and draw_differences(_study(), []) is None


def test_the_figures_of_a_report_are_those_that_have_something_to_show() -> None:
    study = _study()
    assert list(figures(study, [], [_made("group", "2", 0.1)])) == ["differences"]
    assert figures(study, [], []) == {}
