"""Checks what figures say, as data: points, intervals, limits, axes, diverged runs, and how each arm looks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from normlib.results.contents import make_figures
from normlib.results.plots.columns import MOST_LISTED, metric
from normlib.results.plots.description import CATEGORIES, LOG, ORDERED, Figure, column_axis
from normlib.results.plots.differences import differences
from normlib.results.plots.learning_curves import learning_curves
from normlib.results.plots.style import CONTROL_STYLE, OTHER_STYLES, STYLES, styles
from normlib.results.tables.table import registered_tables, table_name
from tests.results import figure_studies
from tests.results.factories import BITS, make_record, study_of
from tests.results.figure_studies import STUDIES, run

PLOTS = [plot for each in registered_tables().values() for plot in each.plots]
ROUNDING = 1e-9  # float64 on numbers near 100


def drawn(made: Figure | None) -> Figure:
    assert made is not None
    return made


def trace(made: Figure, arm: str, panel: int = 0):
    return next(each for each in made.panels[panel].traces if each.arm == arm)


def test_every_registered_figure_is_there_and_is_named_as_its_function_or_its_metric() -> None:
    study = figure_studies.plain()
    made = [each.name for figures in make_figures([study]).values() for each in figures]
    assert len(made) == len(set(made)) == len(PLOTS) >= 5
    assert set(made) == {plot.__name__ for plot in PLOTS} - {"metric"} | {table_name(study.question.facts)}


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_a_figure_is_whole(name: str, plot) -> None:
    made = plot(STUDIES[name]())
    if made is None:
        return
    low, high = (
        (-np.inf if made.limits[0] is None else made.limits[0]),
        (np.inf if made.limits[1] is None else made.limits[1]),
    )
    for panel, axis in itertools.product(made.panels, range(len(made.axes))):
        assert panel.traces
        for each in panel.traces:
            shapes = {
                each.x[axis].shape,
                each.y.shape,
                each.low.shape,
                each.high.shape,
                each.diverged.shape,
                (len(each.hover),),
            }
            assert len(shapes) == 1
            ends = np.concatenate([each.y, each.low, each.high])
            assert np.all(np.isnan(ends) | ((ends >= low) & (ends <= high)))
            assert np.all(np.isfinite(each.y) | (each.diverged > 0)), "a point is somewhere, or it diverged"
            span = made.axes[axis].span
            assert span is None or np.all((each.x[axis] > span[0]) & (each.x[axis] < span[1]))
            assert each.arm in made.styles and all("<br>" not in line for lines in each.hover for line in lines)


def test_points_and_intervals_are_those_of_the_runs() -> None:
    batch = trace(drawn(metric(figure_studies.plain())), "batch")
    assert batch.y == pytest.approx([91, 91], abs=ROUNDING)
    half_width = 4.302653 / np.sqrt(3)  # the t quantile of 2 degrees of freedom, and one point of standard deviation
    assert batch.high - batch.y == pytest.approx([half_width] * 2, rel=1e-2)  # a step of 1 / 250 widens it a little


def test_a_percentage_stays_within_0_and_100_and_other_units_have_no_limits() -> None:
    made = drawn(metric(figure_studies.at_the_limit()))
    assert made.limits == (0, 100)
    assert trace(made, "batch").high == [100] and trace(made, "group").low == [0]
    assert trace(made, "batch").low[0] > 0
    records = [
        run(norm, seed, figure=20.0 + 50 * seed, metric=BITS) for norm in ("batch", "group") for seed in range(2)
    ]
    other = drawn(metric(study_of(records)))
    assert other.limits == (None, None) and trace(other, "batch").low[0] < 0
    beyond = drawn(metric(study_of([run("batch", figure=1.2)])))
    assert beyond.limits == (None, None) and trace(beyond, "batch").y == pytest.approx([120]), "no figure is ever moved"


def test_numbers_are_on_a_log_axis_or_in_order_and_words_are_categories_without_a_line() -> None:
    axes = {name: column_axis(STUDIES[name]()) for name in ("plain", "ordered", "categories", "one run")}
    assert [axes[name].kind for name in axes] == [LOG, ORDERED, CATEGORIES, ORDERED]
    assert [axis.has_lines for axis in axes.values()] == [True, True, False, True]
    assert axes["plain"].labels == ("2", "32") and axes["plain"].title == "batch size (samples, log scale)"


def test_arms_stand_beside_each_other_and_never_beside_another_condition() -> None:
    for name in ("plain", "categories", "many arms"):
        study = STUDIES[name]()
        made, axis = drawn(metric(study)), column_axis(study)
        at = np.array([each.x[0] for each in made.panels[0].traces])  # (arms, columns)
        assert np.all(np.diff(at, axis=0) > 0)
        nearest = np.abs(at[..., None] - np.array(axis.ticks)).argmin(axis=-1)
        assert np.all(nearest == np.arange(at.shape[1]))


def test_diverged_runs_are_counted_at_their_points() -> None:
    made = drawn(metric(figure_studies.diverged()))
    assert trace(made, "none").diverged.tolist() == [1, 0] and trace(made, "layer").diverged.tolist() == [0, 3]
    assert trace(made, "batch").diverged.tolist() == [0, 0] and made.any_diverged
    assert "seed 0: 10.0 % (diverged)" in "\n".join(trace(made, "none").hover[0])
    against = drawn(differences(figure_studies.diverged()))
    assert trace(against, "layer").diverged.tolist() == [0, 3]
    curves = drawn(learning_curves(figure_studies.diverged()))
    assert trace(curves, "layer", 1).diverged.tolist() == [0, 0, 3, 0], (
        "where they stopped, at step 25 of 10, 20, 30, 40"
    )
    assert not drawn(metric(figure_studies.plain())).any_diverged


def test_what_left_no_figure_keeps_its_place() -> None:
    for plot in (metric, differences):
        lost = trace(drawn(plot(figure_studies.without_figures())), "layer")
        assert np.isnan(lost.y[1]) and lost.diverged[1] == 3 and np.isfinite(lost.y[0])
    assert "no figure is left" in trace(drawn(metric(figure_studies.without_figures())), "layer").hover[1]


def test_differences_have_a_rope_and_a_log_axis_only_where_they_are_wide() -> None:
    near, wide = drawn(differences(figure_studies.plain())), drawn(differences(figure_studies.diverged()))
    assert near.rope == wide.rope == 0.5 and near.log_beyond is None
    assert wide.log_beyond == 2 and "log beyond ±2" in wide.y_title and 0 in wide.y_ticks and -100 in wide.y_ticks
    assert trace(near, "group").y == pytest.approx([-2, -2]) and near.y_title == "difference to batch (points)"
    assert differences(figure_studies.one_run()) is None


def test_curves_have_a_panel_a_condition_and_three_axes() -> None:
    made = drawn(learning_curves(figure_studies.plain()))
    assert made.columns == ("batch size 2", "batch size 32") and made.sections == ("",) and made.bands
    batch = trace(made, "batch", 1)
    assert [axis[-1] for axis in batch.x] == pytest.approx([40 * 32, 40, 0.04])
    assert (
        batch.y == pytest.approx([91 / 4, 91 / 2, 3 * 91 / 4, 91]) and "1,280 samples, 40 steps" in batch.hover[-1][1]
    )
    assert learning_curves(study_of([make_record()])) is None, "evaluated once"


def test_many_replicates_are_counted_and_not_listed() -> None:
    (hover,) = trace(drawn(metric(study_of(make_record(seed=seed) for seed in range(MOST_LISTED + 5)))), "batch").hover
    assert f"seed {MOST_LISTED - 1}:" in hover[-2] and hover[-1] == "and 5 more"


def test_nothing_to_draw() -> None:
    for records in (
        [],
        [make_record(status="skipped", reason="why"), make_record(norm="group", status="failed", reason="x")],
    ):
        assert make_figures([study_of(records)]) == {}
    assert make_figures([]) == {}


def test_a_norm_looks_the_same_everywhere_and_a_control_is_grey() -> None:
    alone, together = styles(["batch", "mine"]), styles(["mine", "batch", "group", "zeta"])
    assert alone["batch"] == together["batch"] == STYLES["batch"] and alone["mine"] == together["mine"]
    assert styles(["batch_control"], {"batch_control"})["batch_control"] == CONTROL_STYLE
    assert styles(["batch_control"])["batch_control"] != CONTROL_STYLE, "a norm that is only called a control"
    assert (
        CONTROL_STYLE.line_width < STYLES["batch"].line_width
        and CONTROL_STYLE.marker_size < STYLES["batch"].marker_size
    )
    made = drawn(metric(study_of([make_record(), make_record(control=True)])))
    assert made.styles["batch_control"] == CONTROL_STYLE


def test_looks_are_distinct_and_survive_grey() -> None:
    assert len({*STYLES.values(), *OTHER_STYLES, CONTROL_STYLE}) == len(STYLES) + len(OTHER_STYLES) + 1
    assert (
        len({each.marker for each in STYLES.values()}) == len({each.dashes for each in STYLES.values()}) == len(STYLES)
    )
    many = styles(f"norm{number}" for number in range(len(OTHER_STYLES)))
    assert len(set(many.values())) == len(OTHER_STYLES)
    assert len(styles(f"norm{number}" for number in range(len(OTHER_STYLES) + 3))) == len(OTHER_STYLES) + 3
