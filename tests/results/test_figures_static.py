"""Checks figures as files: every description is drawn, at the width of a column and of the text, with text that can be read and
that stays text, and equal figures are equal files."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure as Drawn
from matplotlib.text import Text
from PIL import Image

from normlib.results.plots.columns import metric
from normlib.results.plots.description import Figure
from normlib.results.plots.differences import differences
from normlib.results.plots.learning_curves import learning_curves
from normlib.results.plots.static import DOTS_PER_INCH, INCHES, KINDS, draw, even_choice, image, plain_style, svg
from tests.results import figure_studies
from tests.results.figure_studies import STUDIES

SMALLEST_POINTS = 7
A_HAIR = 0.02
"""Inches; the room around letters that a box of text counts."""


def figures(name: str) -> list[Figure]:
    """Of each kind that is drawn in another way one."""
    study = STUDIES[name]()
    return [figure for plot in (metric, differences, learning_curves) if (figure := plot(study)) is not None]


def laid_out(figure: Figure, width: str) -> Drawn:
    """As a file has it: where the ticks are depends on the style."""
    drawn = draw(figure, width)
    with plain_style():
        drawn.draw_without_rendering()
    return drawn


@pytest.mark.parametrize("width", INCHES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_fits_its_width(name: str, width: str) -> None:
    for figure in figures(name):
        drawn = laid_out(figure, width)
        assert drawn.get_figwidth() == INCHES[width]
        for text in drawn.findobj(Text):
            assert text.get_fontsize() >= SMALLEST_POINTS or not text.get_text()
        with plain_style():
            everything = drawn.get_tightbbox()  # inches
        assert everything.x0 > -A_HAIR and everything.x1 < drawn.get_figwidth() + A_HAIR
        assert everything.y0 > -A_HAIR and everything.y1 < drawn.get_figheight() + A_HAIR
        for panel in drawn.axes:
            if panel.axison:
                box = panel.get_window_extent()
                assert box.width > 60 and box.height > 60, "of 100 an inch"


@pytest.mark.parametrize("name", ["plain", "categories", "many arms", "many sections"])
def test_labels_do_not_run_into_each_other(name: str) -> None:
    for width in INCHES:
        drawn = laid_out(figures(name)[0], width)
        legend = [text.get_window_extent() for text in drawn.legends[0].get_texts()]
        assert all(not one.overlaps(other) for i, one in enumerate(legend) for other in legend[i + 1 :])
        for panel in drawn.axes:
            labels = [label for label in panel.get_xticklabels() if label.get_text()]
            if panel.axison and labels and labels[0].get_rotation() == 0:
                boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
                assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
            if panel.axison:
                assert all(box.y1 < panel.get_window_extent().y0 for box in legend)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_figure_is_the_same_file(kind: str) -> None:
    first, second = (
        draw(figure) for figure in (metric(figure_studies.plain()), metric(figure_studies.plain())) if figure
    )
    data = image(first, kind)
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": "a user's own", "svg.fonttype": "path", "pdf.fonttype": 3}):
        assert image(second, kind) == data
    assert data.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind])
    assert not re.search(rb"dc:date|CreationDate|/Producer|dc:creator|Software", data)


def test_the_same_figure_is_the_same_file_in_another_process() -> None:
    code = (
        "import hashlib; from normlib.results.plots.static import *; from normlib.results.plots.columns import metric;"
        "from tests.results.figure_studies import hostile; d = draw(metric(hostile()));"
        "print([hashlib.sha256(image(d, kind)).hexdigest() for kind in KINDS])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1 and found.pop().count("'") == 2 * len(KINDS)


def test_text_stays_text_and_names_are_letters() -> None:
    figure = metric(figure_studies.hostile())
    assert figure is not None
    drawn = draw(figure)
    text = image(drawn, "svg").decode()
    assert "test accuracy (%)</text>" in text and "&lt;b&gt;$x$ &amp; 'q'&lt;/b&gt;" in text and r"größe\nü" in text
    assert text == svg(figure) and figure.caption in text
    pdf = image(drawn, "pdf")
    assert b"/TrueType" in pdf or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf


def test_a_picture_has_the_dots_of_its_width() -> None:
    figure = metric(figure_studies.plain())
    assert figure is not None
    for width, inches in INCHES.items():
        assert Image.open(io.BytesIO(image(draw(figure, width), "png"))).width == pytest.approx(
            inches * DOTS_PER_INCH, abs=1
        )


def test_lines_only_where_places_have_an_order() -> None:
    for name, drawn in {name: draw(metric(STUDIES[name]())) for name in ("plain", "ordered", "categories")}.items():  # type: ignore[arg-type]
        lines = {line.get_linestyle() for line in drawn.axes[0].get_lines()}
        assert (lines == {"None"}) == (name == "categories")


def test_axes_of_percentages_end_at_0_and_100() -> None:
    for plot in (metric, learning_curves):
        figure = plot(figure_studies.at_the_limit())
        assert figure is not None
        bottom, top = draw(figure).axes[0].get_ylim()
        assert -4 < bottom <= 0 and 100 <= top < 104, "with room for markers"


def test_a_ring_marks_what_diverged_and_the_legend_says_so() -> None:
    for name, rings in {"diverged": 2, "without figures": 2, "plain": 0}.items():
        figure = metric(STUDIES[name]())
        assert figure is not None
        drawn = draw(figure)
        found = [
            line
            for line in drawn.axes[0].get_lines()
            if line.get_markeredgecolor() == "black" and line.get_markersize() > 7
        ]
        assert sum(len(line.get_xdata()) for line in found) == rings  # type: ignore[arg-type]
        assert ("runs diverged" in str([text.get_text() for text in drawn.legends[0].get_texts()])) == bool(rings)
        on_axis = [line for line in found if line.get_transform() == drawn.axes[0].get_xaxis_transform()]
        assert len(on_axis) == (name == "without figures")


def test_the_rope_and_the_wide_axis_of_differences() -> None:
    figure = differences(figure_studies.diverged())
    assert figure is not None
    drawn = draw(figure)
    panel = drawn.axes[0]
    assert panel.get_yscale() == "symlog" and panel.get_ylim()[0] < -80
    (rope,) = panel.patches
    assert (rope.get_y(), rope.get_height()) == pytest.approx((-0.5, 1))  # type: ignore[attr-defined]
    assert "equal in practice (±0.5 points)" in [text.get_text() for text in drawn.legends[0].get_texts()]


def test_of_many_panels_an_even_choice_is_shown_and_said() -> None:
    study = STUDIES["many sections"]()
    curves, columns = learning_curves(study), metric(study)
    assert curves is not None and columns is not None
    assert draw(curves).get_suptitle() == "5 of 7 conditions and 4 of 14 sections; the page has all"
    assert draw(curves, "column").get_suptitle() == "2 of 7 conditions and 4 of 14 sections; the page has all"
    assert draw(columns).get_suptitle() == "12 of 14 sections; the page has all"
    assert even_choice(range(7), 5) == [0, 2, 3, 4, 6] and even_choice(range(2), 5) == [0, 1]


def test_another_width_or_kind_is_refused() -> None:
    figure = metric(figure_studies.plain())
    assert figure is not None
    with pytest.raises(KeyError):
        draw(figure, "poster")
    with pytest.raises(ValueError, match="png, svg, pdf"):
        image(draw(figure), "gif")


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_logs_nothing_where_a_user_logs_everything(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    (figure, *_) = figures(next(iter(STUDIES)))
    drawn = draw(figure)
    level = logging.getLogger("fontTools").level
    with caplog.at_level(logging.INFO):
        image(drawn, kind)
    assert caplog.text == "" and logging.getLogger("fontTools").level == level
