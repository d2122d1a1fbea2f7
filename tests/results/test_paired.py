"""Checks the paired table: figures by hand, the correction, every poor set of runs, and what may be said of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from normlib.results.elsewhere.arms import compare_arms
from normlib.results.store.frame import frame
from normlib.results.store.record import Record
from normlib.results.study.axes import ReportError
from normlib.results.study.comparison import Comparison, attainable
from normlib.results.study.identity import IdentityError
from normlib.results.study.pairing import paired
from tests.results.factories import digest, make_record, study_of

T_9 = 2.2621571628  # 97.5 % quantile of Student's t with 9 degrees of freedom, from any table
ROUNDING = 1e-9


def _arms(accuracies: dict[str, list[float]], **over: Any) -> list[Record]:
    return [
        make_record(norm=norm, seed=seed, accuracy=accuracy, **over)
        for norm, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


def _compared(records: list[Record], **question: Any) -> dict[str, Comparison]:
    """The comparisons of a study with one condition, by arm."""
    return {each.arm: each for each in paired(study_of(records, **question))}


BASELINE = [0.90, 0.91, 0.92, 0.90, 0.89, 0.93, 0.91, 0.90, 0.92, 0.91]


def test_the_figures_of_a_comparison_by_hand() -> None:
    gains = [0.01, 0.03] * 5
    found = _compared(_arms({"batch": BASELINE, "group": [b + g for b, g in zip(BASELINE, gains)]}))
    group = found["group"]
    assert (group.n, group.wins, group.ties, group.baseline, group.unpaired) == (10, 10, 0, "batch", "")
    assert group.difference == pytest.approx(0.02, abs=ROUNDING)
    # Each gain is 0.01 from the mean, and each accuracy was rounded to one of 250 samples.
    width = T_9 * math.sqrt((10 * 0.01**2 / 9 + (1 / 250) ** 2 / 6) / 10)
    assert (group.low, group.high) == pytest.approx((0.02 - width, 0.02 + width), abs=1e-8)
    assert group.p == pytest.approx(2 / 2**10) == group.p_holm  # all signs agree; a single comparison
    assert group.outperforms == 1 and group.outperforms_low == pytest.approx(0.025 ** (1 / 10))
    assert group.verdict == "better"


def test_holm_counts_the_comparisons_of_its_own_section() -> None:
    worse, same = [b - 0.1 for b in BASELINE], [b + (-1) ** s * 0.001 for s, b in enumerate(BASELINE)]
    arms = {"batch": BASELINE, "group": worse, "layer": same}
    records = [*_arms(arms), *_arms(arms, model="convnet", batch_size=2), *_arms(arms, model="convnet")]
    found = paired(study_of(records))
    corrected = {(each.section, each.column, each.arm): each.p_holm for each in found}
    assert corrected["model=mlp", "32", "group"] == pytest.approx(2 * 2 / 2**10)
    assert corrected["model=convnet", "32", "group"] == pytest.approx(4 * 2 / 2**10)
    assert corrected["model=convnet", "32", "layer"] == 1
    assert {each.verdict for each in found if each.arm == "group"} == {"worse"}
    assert {each.n_needed for each in found if each.section == "model=mlp"} == {7}  # 2 × 2/2^7 is below 0.05


def test_too_few_replicates_are_not_no_difference() -> None:
    found = _compared(_arms({"batch": BASELINE[:5], "group": [b + 0.05 for b in BASELINE[:5]]}))["group"]
    assert (found.verdict, found.n, found.n_needed) == ("too few", 5, 6) and found.p == 2 / 2**5


def test_equal_is_an_interval_within_the_rope_and_unknown_is_not() -> None:
    gains = [0.001, -0.001] * 5  # interval ± 0.0014
    records = _arms({"batch": BASELINE, "group": [b + g for b, g in zip(BASELINE, gains)]})
    assert _compared(records)["group"].verdict == "equal"
    assert _compared(records, rope=0.05)["group"].verdict == "unknown"
    assert _compared(records, value="test.loss")["group"].verdict == "unknown"  # points are points of accuracy


def test_less_loss_is_better() -> None:
    records = _arms({"batch": BASELINE, "group": [b - 0.05 for b in BASELINE]})  # the factory's loss is 1 - accuracy
    found = _compared(records, value="test.loss")["group"]
    assert found.difference > 0 and found.verdict == "worse" and found.outperforms == 0


def test_a_diverged_run_counts_as_scored_and_as_a_loss() -> None:
    records = _arms({"batch": BASELINE, "group": [b + 0.02 for b in BASELINE]})
    records[10] = make_record(norm="group", seed=0, accuracy=0.95, status="diverged")
    found = _compared(records)["group"]
    assert (found.n, found.wins) == (10, 9)  # it scored more than the baseline, and lost all the same
    assert found.difference == pytest.approx(0.02 + 0.003)


@pytest.mark.parametrize(("accuracy", "why"), [(0.0, "equal figures"), (0.05, "a better figure")])
def test_an_arm_that_diverged_is_neither_equal_nor_better(accuracy: float, why: str) -> None:
    records = _arms({"batch": BASELINE})
    records += [
        make_record(norm="group", seed=seed, accuracy=b + accuracy, status="diverged")
        for seed, b in enumerate(BASELINE)
    ]
    found = _compared(records)["group"]
    assert (found.verdict, found.diverged, found.losses) == ("unknown", 10, 10), why


def test_no_verdict_by_the_loss_of_those_runs_that_did_not_diverge() -> None:
    records = _arms({"batch": BASELINE, "group": [b + 0.05 for b in BASELINE]})
    records[10:13] = [make_record(norm="group", seed=seed, accuracy=0.1, status="diverged") for seed in range(3)]
    found = _compared(records, value="test.loss")["group"]
    assert (found.n, found.wins, found.losses, found.verdict) == (7, 7, 3, "unknown") and found.p_holm <= 0.05


def test_holm_steps_down_so_that_fewer_replicates_may_do_behind_others() -> None:
    assert not attainable(6, [(0.04, 0.08), (2 / 2**6, 2 / 2**5)])  # 2 × 2/2^6 is above 0.05
    assert attainable(6, [(0.0001, 0.0002), (2 / 2**6, 2 / 2**6)])  # once the other has passed, 2/2^6 is enough


def test_unequal_seeds_are_paired_on_the_common_ones() -> None:
    records = _arms({"batch": BASELINE, "group": [b + 0.02 for b in BASELINE[:7]]})
    assert (_compared(records)["group"].n, _compared(records)["group"].unpaired) == (7, "")


def test_arms_on_different_seeds_are_two_samples() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    mine = [0.97, 0.96, 0.975, 0.98]
    records = [
        *_arms({"batch": BASELINE}),
        *(make_record(norm="group", seed=50 + s, accuracy=a) for s, a in enumerate(mine)),
    ]
    found = _compared(records)["group"]
    step = (1 / 250) ** 2 / 12  # the variance of rounding to one of 250 test samples
    moments = [f(x) for x in (mine, BASELINE) for f in (np.mean, lambda x: np.sqrt(np.var(x, ddof=1) + step), len)]
    assert found.p == pytest.approx(scipy_stats.ttest_ind_from_stats(*moments, equal_var=False).pvalue, abs=1e-10)
    assert found.difference == pytest.approx(np.mean(mine) - np.mean(BASELINE))
    assert found.low < found.difference < found.high
    assert (found.unpaired, found.verdict, found.n) == ("no seed in common", "better", 4)
    assert math.isnan(found.outperforms) and math.isnan(found.correlation)


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [("failed", "killed", "group: failed 2/2"), ("skipped", "no positions", "group: skipped")],
)
def test_an_arm_without_figures_says_why(status: str, reason: str, words: str) -> None:
    records = _arms({"batch": BASELINE[:2]})
    records += [make_record(norm="group", seed=seed, status=status, reason=reason) for seed in range(2)]
    assert (_compared(records)["group"].verdict, _compared(records)["group"].why_none) == ("none", words)


def test_a_baseline_that_failed_says_so_in_every_cell() -> None:
    records = _arms({"group": BASELINE[:2], "layer": BASELINE[:2]})
    records += [make_record(seed=seed, status="failed", reason="killed") for seed in range(2)]
    assert {each.why_none for each in _compared(records).values()} == {"batch: failed 2/2"}


def test_rows_with_other_batches_are_not_paired() -> None:
    """Learning rates share trunk and batches and are paired; depths do not share a trunk."""

    def run(seed: int, **spec: Any) -> Record:
        return make_record(seed=seed, accuracy=0.9 + seed / 100, spec=spec)

    rates = [run(seed, optimizer={"name": "sgd", "lr": lr}) for seed in range(3) for lr in (0.1, 1.0)]
    (found,) = paired(study_of(rates, rows="optimizer.lr", baseline="0.1"))
    assert (found.arm, found.unpaired, found.n) == ("1", "", 3)
    depths = [run(seed, model={"name": "mlp", "depth": depth, "width": 8}) for seed in range(3) for depth in (2, 3)]
    for record in depths:
        record.hashes["trunk"] = digest(record.spec["model"], record.spec["seed"])  # type: ignore[index]
    (found,) = paired(study_of(depths, rows="model.depth", baseline="2"))
    assert "trunk" in found.unpaired


def test_a_split_of_its_own_makes_a_seed_a_replicate_and_shared_splits_make_sections() -> None:
    """Seeds on a shared split are not independent of each other's samples, nor splits with shared seeds of their trunks."""

    def run(norm: str, seed: int, split: int) -> Record:
        data = {"name": "digits", "batch_size": 32, "split_seed": split}
        return make_record(norm=norm, seed=seed, accuracy=0.9 + 0.01 * (norm == "group"), spec={"data": data})

    def sections(*pairs: tuple[int, int]) -> dict[str, int]:
        found = paired(study_of([run(norm, seed, split) for norm in ("batch", "group") for seed, split in pairs]))
        return {each.section: each.n for each in found}

    assert sections((0, 0), (1, 1), (2, 2)) == {"": 3}
    crossed = {"data.split_seed=0": 2, "data.split_seed=1": 2}
    assert sections((0, 0), (1, 0), (0, 1), (1, 1)) == crossed
    assert sections((0, 0), (1, 0), (2, 1), (3, 1)) == crossed  # nested


def test_compare_arms_is_a_frame_and_refuses_what_it_cannot_answer() -> None:
    records = _arms({"batch": BASELINE, "group": [b + 0.02 for b in BASELINE]})
    table = compare_arms(frame(records), baseline="group")
    assert list(table["arm"]) == ["batch"] and table.loc[0, "difference"] == pytest.approx(-0.02)
    with pytest.raises(ReportError, match="did you mean 'group'.*Known: batch, group"):
        compare_arms(frame(records), baseline="grup")
    with pytest.raises(ReportError, match="optimizer.lr"):
        compare_arms(frame(records), arm="lr")
    with pytest.raises(ReportError, match="test.accuracy"):
        compare_arms(frame(records), value="acuracy")
    records[0] = Record(**{**records[0].to_dict(), "hashes": {**records[0].hashes, "trunk": "0123"}})
    with pytest.raises(IdentityError, match="seed=0.*'trunk'"):
        compare_arms(frame(records))


def test_one_arm_or_no_baseline_compare_nothing() -> None:
    assert paired(study_of(_arms({"group": BASELINE}))) == [] == paired(study_of(_arms({"batch": BASELINE})))
