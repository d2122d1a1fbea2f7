"""Checks the figure: the same bytes for the same tables, a look for each name, and every odd shape of results drawn."""

from __future__ import annotations

import matplotlib as mpl
import pytest

from normlib.results.plots.files import CONTROL_STYLE, OTHER_STYLES, STYLES, draw, image, styles
from normlib.results.store.record import Record
from tests.results.factories import make_record, tables_of


def _records() -> list[Record]:
    return [
        make_record(norm=norm, model=model, batch_size=size, seed=seed, accuracy=0.9 + seed / 100)
        for norm in ("batch", "group8")
        for model in ("mlp", "convnet")
        for size in (2, 32)
        for seed in range(2)
    ]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_tables_give_the_same_bytes(kind: str) -> None:
    first, second = (draw(tables_of(_records())) for _ in range(2))
    assert first is not None and second is not None
    data = image(first, kind)
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": "a user's own"}):
        assert image(second, kind) == data
    assert data.startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    assert b"dc:date" not in data


def test_batch_sizes_stand_on_a_log_axis_and_words_side_by_side() -> None:
    figure = draw(tables_of(_records()))
    assert figure is not None
    left, right = figure.axes
    assert left.get_xscale() == right.get_xscale() == "log"
    assert [label.get_text() for label in left.get_xticklabels()] == ["2", "32"]
    assert left.get_ylabel() == "test accuracy (%)" and "batch size" in left.get_xlabel()
    figure = draw(tables_of(_records(), rows="norm", columns="model"))
    assert figure is not None and figure.axes[0].get_xscale() == "linear"


@pytest.mark.parametrize("size", [0, 2])
def test_one_seed_one_column_and_a_column_at_zero_are_drawn(size: int) -> None:
    figure = draw(tables_of([make_record(batch_size=1)], columns="data.crop" if size == 0 else "data.batch_size"))
    assert figure is not None and image(figure, "png")


def test_more_panels_than_fit_a_line() -> None:
    records = [make_record(batch_size=size, spec={"threads": threads}) for size in (2, 4) for threads in range(5)]
    figure = draw(tables_of(records))
    assert figure is not None and image(figure, "svg")


@pytest.mark.parametrize("num_models", [1, 2])
def test_a_long_legend_takes_nothing_from_the_panels(num_models: int) -> None:
    def height_of_panels(num_norms: int) -> float:
        names = [f"a_name_as_long_as_they_come_{n:02}" for n in range(num_norms)]
        models = ("mlp", "convnet")[:num_models]
        figure = draw(tables_of([make_record(norm=name, model=model) for name in names for model in models]))
        assert figure is not None
        return float(figure.axes[0].get_position().height * figure.get_figheight())

    assert (
        height_of_panels(26) > height_of_panels(2) - 0.6
    )  # inches: three lines of the legend, of 13.5 points each, may


def test_every_point_lies_inside_its_panel() -> None:
    records = [
        make_record(norm=norm, model=model, batch_size=size, accuracy=accuracy)
        for model, norms in {"mlp": {"batch": 0.1, "group": 0.2}, "convnet": {"batch": 0.8, "group": 1.0}}.items()
        for norm, accuracy in norms.items()
        for size in (2, 32)
    ]
    figure = draw(tables_of(records))
    assert figure is not None
    for panel in figure.axes:
        bottom, top = panel.get_ylim()
        assert all(bottom <= y <= top for line in panel.get_lines() for y in line.get_ydata())


def test_nothing_to_draw() -> None:
    assert draw([]) is None
    assert draw(tables_of([make_record(status="skipped", reason="why")])) is None


def test_a_norm_looks_the_same_everywhere() -> None:
    alone, together = styles(["batch", "mine"]), styles(["mine", "batch", "group", "zeta"])
    assert alone["batch"] == together["batch"] == STYLES["batch"]
    assert alone["mine"] == together["mine"]


def test_a_control_is_grey_thin_and_small() -> None:
    figure = draw(tables_of([make_record(), make_record(control=True)]))
    assert figure is not None
    batch, control = figure.axes[0].get_lines()
    assert styles(["batch_control", "mine"], {"batch_control"})["batch_control"] == CONTROL_STYLE
    assert styles(["batch_control"])["batch_control"] != CONTROL_STYLE, "a norm that is only called a control"
    assert CONTROL_STYLE not in (*STYLES.values(), *OTHER_STYLES)
    assert control.get_color() == CONTROL_STYLE[0] and control.get_label() == "batch_control"
    assert control.get_linewidth() < batch.get_linewidth() and control.get_markersize() < batch.get_markersize()


def test_looks_are_distinct_and_survive_grey() -> None:
    assert len(set(STYLES.values()) | set(OTHER_STYLES)) == len(STYLES) + len(OTHER_STYLES)
    assert len({style[1] for style in STYLES.values()}) == len({style[2] for style in STYLES.values()}) == len(STYLES)
    many = styles(f"norm{number}" for number in range(len(OTHER_STYLES)))
    assert len(set(many.values())) == len(OTHER_STYLES)
    assert len(styles(f"norm{number}" for number in range(len(OTHER_STYLES) + 3))) == len(OTHER_STYLES) + 3
