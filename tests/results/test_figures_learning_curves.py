"""Checks the figure of the learning curves: a panel a condition, an even choice of many, none where there is no curve."""

from __future__ import annotations

import pytest

from normlib.results.plots.files import draw_learning_curves, image
from normlib.results.plots.files.learning_curves import MAX_CONDITIONS, MAX_SECTIONS, even_choice
from tests.results.factories import make_record, study_of
from tests.results.record_parts import curves_of

SIZES = (2, 4, 8, 16, 32, 64, 128)


def test_accuracy_against_samples_with_a_panel_a_condition() -> None:
    study = study_of(
        make_record(norm=norm, batch_size=size, seed=seed, curves=curves_of([0.5, 0.8 + seed / 10]))
        for norm in ("batch", "group")
        for size in (2, 32)
        for seed in range(2)
    )
    figure = draw_learning_curves(study)
    assert figure is not None
    assert [panel.get_title() for panel in figure.axes] == ["batch size 2", "batch size 32"]
    batch, group = figure.axes[0].get_lines()
    assert (batch.get_label(), group.get_label()) == ("batch", "group")
    assert list(batch.get_xdata()) == [320, 640]
    assert list(batch.get_ydata()) == pytest.approx([50, 85], abs=1e-9)  # float64 on numbers near 100
    assert figure.get_suptitle() == "" and image(figure, "svg").startswith(b"<?xml")


def test_of_many_conditions_and_sections_an_even_choice_is_shown_and_said() -> None:
    study = study_of(
        make_record(batch_size=size, model=f"m{model}", curves=curves_of([0.5, 0.9]))
        for size in SIZES
        for model in range(3)
    )
    figure = draw_learning_curves(study)
    assert figure is not None and len(figure.axes) == MAX_CONDITIONS * MAX_SECTIONS
    assert figure.get_suptitle() == "5 of 7 conditions and 2 of 3 sections; the page has all"
    assert even_choice(SIZES, 5) == [2, 8, 16, 32, 128] and even_choice(SIZES[:2], 5) == [2, 4]


def test_no_figure_where_runs_were_looked_at_once_or_never() -> None:
    assert (
        draw_learning_curves(study_of([make_record(), make_record(seed=1, status="failed", reason="killed")])) is None
    )
    assert draw_learning_curves(study_of([])) is None


def test_conditions_and_arms_without_curves_leave_their_place_empty() -> None:
    records = [make_record(norm="group", batch_size=size, curves=curves_of([0.5, 0.9])) for size in (2, 32)]
    records += [make_record(batch_size=2, status="failed", reason="killed"), make_record(batch_size=64)]
    figure = draw_learning_curves(study_of(records))
    assert figure is not None and image(figure, "png")
    assert [len(panel.get_lines()) for panel in figure.axes] == [1, 1, 1]
