"""Checks comparisons that are judged by looks, on records that no run made: which seeds count, what stays, and what is said."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from normlib.results.elsewhere.arms import compare_arms
from normlib.results.render import tidy_csv
from normlib.results.stats import look_at, looks, welch_equal_p
from normlib.results.store.columns import LOOKS
from normlib.results.store.frame import frame, settings
from normlib.results.store.looks import as_label, looks_in, planned_looks
from normlib.results.store.merge import merge
from normlib.results.store.record import Record
from normlib.results.store.store import Scan
from normlib.results.study.comparison import BETTER, EQUAL, NONE, UNKNOWN, WORSE, Comparison
from normlib.results.study.looks import summary
from normlib.results.study.pairing import looked_at
from normlib.results.study.study import Study
from normlib.results.tables.against_baseline import against_baseline
from normlib.results.tables.differences import differences
from normlib.results.tables.paired import paired
from normlib.results.verdicts import verdicts_file
from tests.results.factories import make_record, study_of

PLANNED = looks(40)
LABELS = {"norm": "batch", "model": "mlp", "data": "digits", LOOKS: as_label(PLANNED)}


def record(norm: str, seed: int, accuracy: float, **over: object) -> Record:
    return make_record(norm=norm, seed=seed, accuracy=accuracy, **{"labels": LABELS | {"norm": norm}, **over})  # type: ignore[arg-type]


def drawn(norm: str, seeds: Sequence[int], mean: float, spread: float, **over: object) -> list[Record]:
    """The records of an arm; a seed has the same figure however many there are."""
    return [
        record(norm, s, round(mean + random.Random(f"{norm} {s}").uniform(-1, 1) * spread, 6), **over) for s in seeds
    ]


def family(seeds: int, undecided: int | None = None) -> list[Record]:
    """Of three arms one is better, one is equal, and one is neither for certain; that one has `undecided` seeds."""
    return [
        *drawn("batch", range(undecided or seeds), 0.8, 0.001),
        *drawn("group", range(seeds), 0.9, 0.002),
        *drawn("layer", range(seeds), 0.8, 0.001),
        *drawn("none", range(undecided or seeds), 0.803, 0.03),
    ]


def found(records: Sequence[Record], **question: object) -> dict[str, Comparison]:
    return {each.arm: each for each in study_of(records, **question).comparisons}


def test_a_comparison_is_shown_as_it_stood_at_the_look_that_decided_it() -> None:
    once = found(family(9, 12))
    assert [once[arm].verdict for arm in ("group", "layer", "none")] == [BETTER, EQUAL, UNKNOWN]
    assert once["group"].n == once["group"].seeds < 9 and once["none"].n == once["none"].seeds == 12
    decided = {arm: once[arm] for arm in ("group", "layer")}
    more = found(family(40))
    assert {arm: more[arm] for arm in decided} == decided, "also where there are more seeds than any look needed"
    group = found(family(once["group"].n))["group"]
    assert (group.difference, group.low, group.high, group.p) == (once["group"].difference, once["group"].low, once["group"].high, once["group"].p)  # fmt: skip
    assert found(family(14))["none"] == found(family(12))["none"], "a look counts, not what lies behind it"


def test_the_figures_of_a_look_are_those_of_look_at() -> None:
    records = family(9)
    by_arm = {norm: [r.metrics["test"]["accuracy"] for r in records if r.labels["norm"] == norm] for norm in ("batch", "none")}  # fmt: skip
    differences = np.array(by_arm["none"], dtype=float) - np.array(by_arm["batch"], dtype=float)
    none, looked = found(records)["none"], look_at(differences, PLANNED, resolution=1 / 250, region=0.005)
    assert (none.p, none.p_equal, none.low, none.high, none.looks) == (looked.p, looked.p_equal, looked.low, looked.high, looked.looks)  # fmt: skip
    assert none.looks_planned == len(PLANNED) and none.seeds == 9


def test_no_verdict_changes_as_seeds_come_in() -> None:
    verdicts: dict[str, set[str]] = {}
    for seeds in range(1, 30):
        for arm, each in found(family(seeds)).items():
            verdicts.setdefault(arm, set()).update({each.verdict} & {BETTER, WORSE, EQUAL})
    assert verdicts["group"] == {BETTER} and verdicts["layer"] == {EQUAL}


def test_ahead_of_the_first_look_nothing_is_compared_and_nothing_is_too_few() -> None:
    early = found(family(2))
    assert {each.verdict for each in early.values()} == {NONE} and math.isnan(early["group"].difference)
    assert early["group"].why_none == f"group: 2 of the {PLANNED[0]} seeds of the first look"
    late = found([each for each in family(12) if each.labels["norm"] != "layer" or each.spec["seed"] < 2])
    assert late["layer"].verdict == NONE and late["group"].verdict == BETTER
    assert late["group"].seeds >= found(family(12))["group"].seeds, "one that waits counts in the correction"


def test_a_gap_in_the_seeds_ends_the_looks_and_a_failed_run_is_none() -> None:
    records = family(12)
    gap = [each for each in records if (each.labels["norm"], each.spec["seed"]) != ("none", 8)]
    assert found(gap)["none"].seeds == 7
    failed = [
        record("none", 8, 0.0, status="failed", reason="a fault") if each not in gap else each for each in records
    ]
    assert found(failed)["none"].seeds == 12 and found(failed)["none"].n == 11


def test_one_that_was_made_otherwise_is_judged_by_the_looks_that_go_furthest() -> None:
    records = family(12)
    fixed = [dataclasses.replace(each, labels={k: v for k, v in each.labels.items() if k != LOOKS}) for each in records]
    assert not study_of(fixed).looks and found(fixed)["none"].looks_planned == 0
    shorter = [dataclasses.replace(each, labels={**each.labels, LOOKS: "3 12"}) for each in records]
    mixed = study_of([*fixed[:5], *shorter[5:20], *records[20:]])
    assert mixed.looks == PLANNED and mixed.comparisons == study_of(records).comparisons
    note = next(each for each in paired(mixed)[0].notes if "made otherwise" in each)
    assert "5 with a number of seeds fixed ahead, 15 for other looks" in note


def test_an_arm_without_figures_needs_no_seeds_and_takes_the_baseline_to_none() -> None:
    skipped = [record("instance", seed, 0.0, status="skipped", reason="no positions") for seed in range(12)]
    failed = [record("none", seed, 0.0, status="failed", reason="a fault") for seed in range(12)]
    clear = [each for each in family(12) if each.labels["norm"] in ("batch", "group")]
    study = study_of([*clear, *skipped, *failed])
    looked, (condition,) = looked_at(study, "", together=True), study.conditions[""]
    seeds = next(each.seeds for each in looked.comparisons if each.decided)
    assert not looked.open and looked.seeds == 0 and seeds < 12
    assert looked.seeds_needed(study, condition) == {
        "batch": seeds,
        "group": seeds,
        "instance": PLANNED[0],
        "none": PLANNED[0],
    }


def test_unpaired_arms_share_the_error_evenly_over_the_looks() -> None:
    rows = [
        *drawn("batch", range(12), 0.8, 0.01, spec={"optimizer": {"name": "sgd", "lr": 0.1}}),
        *drawn("batch", range(12), 0.9, 0.01, spec={"optimizer": {"name": "sgd", "lr": 0.2}}),
    ]
    other = [dataclasses.replace(each, hashes={**each.hashes, "trunk": "another"}) for each in rows[12:]]
    (each,) = study_of([*rows[:12], *other], rows="optimizer.lr", baseline="0.1").comparisons
    a, b = ([r.metrics["test"]["accuracy"] for r in part[: each.seeds]] for part in (rows[12:], rows[:12]))
    assert each.unpaired and each.verdict == BETTER
    shares = len(PLANNED)
    assert each.p <= 0.05 and each.p > stats.ttest_ind(a, b, equal_var=False).pvalue * shares
    width = stats.ttest_ind(a, b, equal_var=False).confidence_interval(1 - 0.05 / shares)
    assert each.low < width.low and each.high > width.high, "wider by the step of the figures"


def test_two_one_sided_welch_tests_against_scipy() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(0, 1, 9), generator.normal(0.1, 2, 7)
    for region in (0.5, 3.0):
        each = [stats.ttest_ind(a, b + side, equal_var=False, alternative=than).pvalue for side, than in ((region, "less"), (-region, "greater"))]  # fmt: skip
        assert welch_equal_p(a, b, region) == pytest.approx(max(each), rel=1e-9)
    assert math.isnan(welch_equal_p([1.0], [2.0, 3.0], 1.0))


def test_labels_of_looks() -> None:
    assert as_label((3, 4, 6)) == "3 4 6" and looks_in("3 4 6") == (3, 4, 6) and looks_in(40.0) == (40,)
    for other in (None, math.nan, "", "4 3", "0 3", "3,4", "three", "-3", "3  4", "2 2", "nan"):
        assert looks_in(other) == ()
    assert planned_looks(["3 40", "3 4 12", None, "3 4 40"]) == (3, 4, 40) and planned_looks([]) == ()
    assert LOOKS in frame(family(3)) and LOOKS not in settings(frame(family(3)))


def test_of_merged_copies_the_one_for_the_furthest_looks_is_kept() -> None:
    whole = record("batch", 0, 0.9)
    copies = [
        dataclasses.replace(whole, labels={**whole.labels, LOOKS: "3 4"}),
        dataclasses.replace(whole, labels={k: v for k, v in whole.labels.items() if k != LOOKS}, started="2020-01-01T00:00:00+00:00"),
        whole,
    ]  # fmt: skip
    for order in itertools.permutations(copies):
        kept, told = merge({str(number): Scan([each], []) for number, each in enumerate(order)})
        assert [each.labels[LOOKS] for each in kept] == [as_label(PLANNED)] and not told


def test_other_tables_compare_over_the_looks_too() -> None:
    generator = np.random.default_rng(1)
    values = {"batch": generator.normal(0, 1, 10), "group": generator.normal(5, 1, 10)}
    values["group"][5] = math.nan
    each = against_baseline(values, "batch", {}, looks=PLANNED)["group"]
    looked = look_at((values["group"] - values["batch"])[:9], PLANNED)
    assert (each.p, each.low, each.high, each.n) == (looked.p, looked.low, looked.high, 8) and not each.too_few
    few = against_baseline({arm: own[:2] for arm, own in values.items()}, "batch", {}, looks=PLANNED)["group"]
    assert few.why_none == f"the first look is after {PLANNED[0]} seeds" and not few.too_few


def test_what_is_said_of_looks() -> None:
    study = study_of(family(9, 12))
    said = f"{PLANNED.index(12) + 1} of {len(PLANNED)} looks taken; 1 of 3 comparisons undecided after 12 seeds"
    assert summary(study.comparisons) == said
    assert summary([each for each in study.comparisons if each.arm != "none"]).endswith(
        f"; 2 comparisons decided within {study.comparisons[1].seeds} seeds"
    )
    assert (
        summary(study_of([make_record(norm=n, seed=s) for n in ("batch", "group") for s in range(3)]).comparisons) == ""
    )
    text = verdicts_file([study])
    assert said in text and "hold over all looks" in text and "sign-flip" not in text
    grid, lines = differences(study), paired(study)
    assert all(said in " ".join(sheet.notes) for sheet in (*grid, *lines))
    header = tidy_csv(lines).splitlines()[0].split(",")
    assert {"looks", "looks_planned", "seeds", "n", "p_equal"} <= set(header)


def test_seeds_without_numbers_are_refused() -> None:
    table = frame(family(4))
    table["seed"] = [f"run {seed}" for seed in table["seed"]]
    with pytest.raises(ValueError, match="must be numbers"):
        _ = Study(table, study_of(family(4)).question).looks


def test_a_part_of_such_a_table_is_judged_by_looks_as_far_as_it_says_so() -> None:
    whole = frame(family(9))
    part = whole[["norm", "seed", "test.accuracy", LOOKS]].rename(columns={"test.accuracy": "accuracy"})
    asked = {"arm": "norm", "value": "accuracy", "unit": "%", "rope": 0.5, "higher_is_better": True}
    assert set(compare_arms(part, **asked)["looks_planned"]) == {len(PLANNED)}
    own = part.rename(columns={LOOKS: "views"})
    assert set(compare_arms(own, **asked)["looks_planned"]) == {0}
    own[LOOKS] = "two"  # a column of a user's own that happens to have the name
    assert set(compare_arms(own, **asked)["looks_planned"]) == {0}
