"""Checks slopes and areas over log2(batch size) by hand, their tests against the baseline, and what has no figure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from normlib.results.store.record import Record
from normlib.results.study.study import Study
from normlib.results.tables.against_baseline import NOT_COMPARED
from normlib.results.tables.batch_size_effect import Effect, batch_size_effect_tables
from tests.results.factories import make_record, study_of

ROUNDING = 1e-12  # float64 on numbers near 1
T_1 = math.tan(math.pi * 0.475)  # 97.5 % quantile of Student's t with 1 degree of freedom, closed form
STEP = 1 / 250  # of the factory's test accuracies


def _records(curves: Mapping[str, Mapping[int, float]], seeds: int = 1, spread: float = 0.0) -> list[Record]:
    """`curves` has the accuracy by batch size by arm; seed k is `spread` × k better at every batch size."""
    return [
        make_record(norm=norm, batch_size=size, seed=seed, accuracy=accuracy + spread * seed)
        for norm, curve in curves.items()
        for size, accuracy in curve.items()
        for seed in range(seeds)
    ]


def _effects(study: Study) -> list[Effect]:
    return [effect for table in batch_size_effect_tables(study) for effect in table.rows]


def _by_arm(study: Study) -> dict[str, Effect]:
    return {effect.arm: effect for effect in _effects(study)}


def test_slope_area_and_smallest_batch_by_hand() -> None:
    """Over log2 sizes 1, 2, 4: the centred sizes are -4/3, -1/3, 5/3 with squares adding to 42/9."""
    study = study_of(_records({"batch": {2: 0.3, 4: 0.6, 16: 0.9}, "group": {2: 0.895, 4: 0.9, 16: 0.8}}))
    batch, group = _by_arm(study).values()
    assert batch.slope_per_doubling == pytest.approx(
        (-4 / 3 * 0.3 - 1 / 3 * 0.6 + 5 / 3 * 0.9) / (42 / 9), abs=ROUNDING
    )
    assert batch.area == pytest.approx((0.45 * 1 + 0.75 * 2) / 3, abs=ROUNDING)
    assert (batch.n, batch.smallest_batch, group.smallest_batch) == (1, "16", "2")
    assert math.isnan(batch.slope_half_width) and batch.slope_against is NOT_COMPARED
    assert group.slope_against.difference < 0


def test_the_smallest_batch_is_reached_without_a_gap() -> None:
    """At 2 the mean is near the best again, but at 4 it is not: the arm does not stay with its best down to 2."""
    (effect,) = _effects(study_of(_records({"batch": {2: 0.895, 4: 0.5, 8: 0.895, 16: 0.9, 32: 0.1}})))
    assert effect.smallest_batch == "8"


def test_intervals_count_the_step_of_accuracies() -> None:
    study = study_of(_records({"batch": {2: 0.5, 8: 0.7}}, seeds=2, spread=0.04))
    (effect,) = _effects(study)
    assert effect.slope_per_doubling == pytest.approx(0.1, abs=ROUNDING) and effect.area == pytest.approx(
        0.62, abs=ROUNDING
    )
    # Weights are ±1/2 for the slope and 1/2 for the area: both have length sqrt(1/2). Two replicates: mean ± T_1 s / √2.
    rounding = STEP**2 / 2 / 12
    assert effect.slope_half_width == pytest.approx(T_1 * math.sqrt(rounding / 2), abs=ROUNDING)
    assert effect.area_half_width == pytest.approx(T_1 * math.sqrt((0.04**2 / 2 + rounding) / 2), abs=ROUNDING)


def test_differences_are_tested_as_two_families() -> None:
    curves = {"batch": {2: 0.3, 8: 0.7}, "group": {2: 0.6, 8: 0.7}, "layer": {2: 0.6, 8: 0.7}}
    group = _by_arm(study_of(_records(curves, seeds=8, spread=0.01)))["group"]
    slope, area = group.slope_against, group.area_against
    assert slope.difference == pytest.approx(-0.15, abs=ROUNDING)
    assert area.difference == pytest.approx(0.15, abs=ROUNDING)
    assert (slope.n, slope.n_needed, slope.p, slope.p_holm) == (8, 7, 2 / 2**8, 2 * 2 / 2**8)
    assert slope.clear and area.clear and not slope.too_few


def test_too_few_seeds_say_so_and_never_no_difference() -> None:
    curves = {"batch": {2: 0.3, 8: 0.7}, "group": {2: 0.6, 8: 0.7}}
    (table,) = batch_size_effect_tables(study_of(_records(curves, seeds=5, spread=0.01)))
    batch, group = table.lines
    assert [cell.text for cell in batch.cells[2:4]] == ["–", "–"]
    assert group.cells[3].text == group.cells[6].text == "too few seeds (5 of 6)"
    assert not group.cells[2].strong


def test_an_arm_without_all_batch_sizes_has_none_and_says_why() -> None:
    records = _records({"batch": {2: 0.3, 8: 0.7, 32: 0.8}, "group": {8: 0.7, 32: 0.8}}, seeds=2)
    records += [make_record(norm="group", batch_size=2, seed=seed, status="failed", reason="killed") for seed in (0, 1)]
    records += [
        make_record(norm="instance", batch_size=size, seed=seed, status="skipped", reason="no positions")
        for size in (2, 8, 32)
        for seed in (0, 1)
    ]
    records += [make_record(norm="layer", batch_size=2)]
    study = study_of(records)
    effects = _by_arm(study)
    assert {arm: effect.why_none for arm, effect in effects.items()} == {
        "batch": "", "group": "failed 2/2 at 2", "instance": "skipped", "layer": "no run at 8, 32",
    }  # fmt: skip
    (table,) = batch_size_effect_tables(study)
    assert [line.cells[1].text for line in table.lines][1:] == ["failed 2/2 at 2", "skipped", "no run at 8, 32"]
    assert any("lacks a batch size" in note for note in table.notes)


def test_unequal_n_leaves_out_the_seeds_that_lack_a_batch_size() -> None:
    records = _records({"batch": {2: 0.3, 8: 0.7}, "group": {2: 0.6, 8: 0.7}}, seeds=3)
    effects = _by_arm(study_of(records[:-1]))
    assert (effects["batch"].n, effects["group"].n) == (3, 2)
    assert effects["group"].slope_against.n == 2


def test_no_seed_at_every_batch_size() -> None:
    (effect,) = _effects(study_of([make_record(batch_size=2, seed=0), make_record(batch_size=8, seed=1)]))
    assert effect.n == 0 and effect.why_none == "no replicate has every batch size"


def test_arms_on_other_seeds_and_a_missing_baseline_are_not_compared() -> None:
    batch = _records({"batch": {2: 0.3, 8: 0.7}})
    group = [make_record(norm="group", batch_size=size, seed=5, accuracy=0.8) for size in (2, 8)]
    (table,) = batch_size_effect_tables(study_of(batch + group))
    assert table.lines[1].cells[3].text == "no replicate in common"
    (table,) = batch_size_effect_tables(study_of(group))
    assert table.lines[0].cells[3].text == "–"
    assert any("batch, the baseline, has no figure" in note for note in table.notes)


def test_rows_that_are_no_norms_are_compared_only_where_their_hashes_agree() -> None:
    records = [
        make_record(model=model, batch_size=size, seed=seed, accuracy=0.9)
        for model in ("mlp", "convnet")
        for size in (2, 8)
        for seed in range(2)
    ]
    convnet = _by_arm(study_of(records, rows="model", baseline="mlp"))["convnet"]
    assert convnet.slope_against.n == 0
    assert convnet.slope_against.why_none.startswith("not paired: the hash 'trunk'")


def test_only_batch_sizes_make_a_curve() -> None:
    models = [make_record(model=model) for model in ("mlp", "convnet")]
    assert batch_size_effect_tables(study_of(models, columns="model")) == []
    assert batch_size_effect_tables(study_of([make_record(batch_size=8)])) == []
    assert batch_size_effect_tables(study_of([])) == []
