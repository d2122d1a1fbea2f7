"""Checks speed to accuracy by hand: first evaluation at the target, infinity where it is never reached, ratios by pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from normlib.results.store.record import Record
from normlib.results.study.study import Study
from normlib.results.tables.speed import Speed, speed_tables
from tests.results.factories import make_record, study_of
from tests.results.record_parts import curves_of

STEPS = (10, 20, 30, 40)
LATE, SOON, NEVER = (0.1, 0.2, 0.3, 0.9), (0.9, 0.9, 0.9, 0.9), (0.1, 0.2, 0.3, 0.4)


def _records(curves: Mapping[str, Sequence[Sequence[float]]], steps: Sequence[int] = STEPS) -> list[Record]:
    """`curves` has the validation accuracies of each seed, by arm."""
    return [
        make_record(norm=norm, seed=seed, accuracy=accuracies[-1], curves=curves_of(accuracies, steps, seconds=0.5))
        for norm, seeds in curves.items()
        for seed, accuracies in enumerate(seeds)
    ]


def _speeds(study: Study) -> list[Speed]:
    return [speed for table in speed_tables(study) for speed in table.rows]


def _by_arm(study: Study) -> dict[str, Speed]:
    return {speed.arm: speed for speed in _speeds(study)}


def test_medians_and_ratios_by_hand() -> None:
    speeds = _by_arm(study_of(_records({"batch": [LATE] * 6, "group": [SOON] * 6}), target=0.9))
    batch, group = speeds["batch"], speeds["group"]
    assert (batch.steps, batch.samples, batch.seconds) == ((40, 40, 40), (1280, 1280, 1280), (20, 20, 20))
    assert group.steps == (10, 10, 10) and (group.reached, group.n) == (6, 6)
    assert group.fewer_steps == (4, 4, 4) and group.fewer_seconds == (4, 4, 4)
    assert math.isnan(batch.fewer_steps[0]) and group.steps_apart == 10


def test_the_target_follows_from_the_baseline_unless_it_is_set() -> None:
    records = _records({"batch": [LATE, (0.1, 0.2, 0.3, 0.7)], "group": [(0.77, 0.9, 0.9, 0.9)] * 2})
    assert _by_arm(study_of(records))["group"].target == pytest.approx(0.95 * 0.8, abs=1e-12)  # one rounding
    assert _by_arm(study_of(records))["group"].steps[0] == 10
    assert _by_arm(study_of(records, target=0.8))["group"].steps[0] == 20


def test_a_run_that_never_gets_there_counts_as_infinite() -> None:
    speeds = _by_arm(study_of(_records({"batch": [LATE, NEVER, NEVER], "group": [SOON, SOON, NEVER]}), target=0.9))
    batch, group = speeds["batch"], speeds["group"]
    assert (batch.reached, batch.n, batch.steps[0]) == (1, 3, math.inf)
    assert (group.reached, group.n, group.steps[0]) == (2, 3, 10)
    assert math.isnan(group.steps[1])  # no interval with fewer than six
    # The pairs' ratios are 4, ∞ and ∞/∞, which is none: the median of 4 and ∞.
    assert group.fewer_steps[0] == math.inf and group.undefined_ratios == 1


def test_nobody_gets_there() -> None:
    study = study_of(_records({"batch": [NEVER] * 6, "group": [NEVER] * 6}), target=0.9)
    group = _by_arm(study)["group"]
    assert (group.reached, group.steps) == (0, (math.inf,) * 3) and group.why_no_ratio == "neither reaches it"
    (table,) = speed_tables(study)
    texts = [cell.text for cell in table.lines[1].cells]
    assert texts == ["32", "group", "90.0", "0/6", *["∞ (∞ to ∞)"] * 3, *["neither reaches it"] * 2]
    assert any("leave out 6 such pairs" in note for note in table.notes)
    sort = table.lines[1].cells[4].sort
    assert sort is not None and math.isfinite(sort)  # JSON has no infinity


def test_only_the_baseline_gets_there() -> None:
    group = _by_arm(study_of(_records({"batch": [SOON] * 6, "group": [NEVER] * 6}), target=0.9))["group"]
    assert group.fewer_steps == (0, 0, 0) and group.undefined_ratios == 0


def test_a_single_evaluation_says_that_only_the_end_was_looked_at() -> None:
    (table,) = speed_tables(study_of([make_record(seed=seed) for seed in range(2)]))
    assert any("only once, at their end" in note and "evaluation.points=20" in note for note in table.notes)
    (table,) = speed_tables(study_of(_records({"batch": [LATE]})))
    assert any("Evaluations are 10 steps apart" in note for note in table.notes)


def test_a_diverged_run_counts_and_others_say_why_they_do_not() -> None:
    records = _records({"batch": [LATE] * 2})
    records += [make_record(norm="group", seed=0, status="diverged", accuracy=0.1, steps=12, curves=curves_of([0.2]))]
    records += [make_record(norm="group", seed=1, status="diverged", accuracy=0.1, steps=3, curves=curves_of([]))]
    records += [make_record(norm="layer", seed=seed, status="failed", reason="killed") for seed in (0, 1)]
    records += [make_record(norm="instance", seed=seed, status="skipped", reason="why") for seed in (0, 1)]
    study = study_of(records)
    speeds = _by_arm(study)
    assert (speeds["group"].reached, speeds["group"].n, speeds["group"].steps[0]) == (0, 2, math.inf)
    assert (speeds["layer"].why_none, speeds["instance"].why_none) == ("failed 2/2", "skipped")
    by_arm = {line.arm: line for line in speed_tables(study)[0].lines}
    assert by_arm["layer"].cells[3].text == "failed 2/2"


def test_a_run_that_diverged_has_lost_whatever_its_curve_showed() -> None:
    records = _records({"batch": [LATE] * 6})
    records += [
        make_record(norm="group", seed=seed, status="diverged", accuracy=0.1, steps=25, curves=curves)
        for seed, curves in enumerate([curves_of((0.95, 0.9))] * 5 + [{}])
    ]
    study = study_of(records, target=0.9)
    group = _by_arm(study)["group"]
    assert (group.reached, group.n, group.steps, group.seconds) == (0, 6, (math.inf,) * 3, (math.inf,) * 3)
    assert group.fewer_steps == (0, 0, 0) and group.why_no_ratio == ""
    (table,) = speed_tables(study)
    assert table.notes[-1] == (
        "Diverged: group 6/6 trained runs; they count as not reaching the target, whatever they showed on the way."
    )
    assert not any("iverged" in note for note in speed_tables(study_of(_records({"batch": [LATE]})))[0].notes)


def test_no_baseline_and_no_target() -> None:
    study = study_of(_records({"group": [LATE]}))
    assert _speeds(study) == []
    (table,) = speed_tables(study)
    assert not table.lines and "'batch' is none of the rows" in table.notes[0]
    (speed,) = _speeds(study_of(_records({"group": [LATE]}), target=0.9))
    assert speed.steps[0] == 40 and speed.why_no_ratio == "no batch"


def test_a_baseline_that_failed_in_one_condition_leaves_that_one_without_a_target() -> None:
    records = _records({"batch": [LATE], "group": [LATE]})
    records += [make_record(batch_size=2, status="failed", reason="killed"), make_record(norm="group", batch_size=2)]
    whys = {(speed.column, speed.arm): speed.why_none for speed in _speeds(study_of(records))}
    assert whys["32", "group"] == "" and whys["2", "group"] == "no target: batch, failed 1/1"


def test_arms_on_other_seeds_and_unpaired_rows_have_no_ratio() -> None:
    records = [make_record(seed=0), make_record(norm="group", seed=1)]
    assert _by_arm(study_of(records))["group"].why_no_ratio == "no replicate in common"
    models = [make_record(model=model) for model in ("mlp", "convnet")]
    convnet = _by_arm(study_of(models, rows="model", baseline="mlp"))["convnet"]
    assert "the hash 'trunk'" in convnet.why_no_ratio and math.isnan(convnet.fewer_steps[0])


def test_one_seed_and_unequal_n() -> None:
    speeds = _by_arm(study_of(_records({"batch": [LATE], "group": [SOON] * 3}), target=0.9))
    assert (speeds["batch"].n, speeds["group"].n) == (1, 3)
    assert speeds["group"].fewer_steps[0] == 4
