"""Checks the figures across workloads by hand, what counts as a workload, and that few workloads claim nothing."""

from __future__ import annotations

import math

import pytest

from normlib.results.store.record import Record
from normlib.results.study.study import Study
from normlib.results.tables.workloads import Summary, workload_tables, workloads
from tests.results.factories import make_record, study_of
from tests.results.record_parts import split

ROUNDING = 1e-12  # float64 on numbers near 1


def _records(norms: dict[str, float], models: int = 2, seeds: int = 4, **over: object) -> list[Record]:
    """Arms with these accuracies; model k is k points worse, seed k is a tenth of a point worse."""
    return [
        make_record(norm=norm, model=f"m{model}", seed=seed, accuracy=accuracy - model / 100 - seed / 1000, **over)  # type: ignore[arg-type]
        for norm, accuracy in norms.items()
        for model in range(models)
        for seed in range(seeds)
    ]


def _summaries(study: Study) -> list[Summary]:
    return [summary for table in workload_tables(study) for summary in table.rows]


def _by_arm(study: Study) -> dict[str, Summary]:
    return {summary.arm: summary for summary in _summaries(study)}


def test_interquartile_mean_and_ranks_by_hand() -> None:
    study = study_of(_records({"batch": 0.9, "group": 0.95, "layer": 0.8}))
    summaries = _by_arm(study)
    batch = summaries["batch"]
    # Sorted: m1 0.887 to 0.890, m0 0.897 to 0.900; the middle four of eight are 0.889, 0.890, 0.897, 0.898.
    assert batch.mean == pytest.approx(0.8935, abs=ROUNDING)
    assert batch.low < batch.mean < batch.high
    assert batch.workloads == ("model=m0", "model=m1")
    assert {arm: summary.rank for arm, summary in summaries.items()} == {"batch": 2, "group": 1, "layer": 3}
    assert _by_arm(study)["batch"].low == batch.low  # the same random numbers every time


def test_two_workloads_cannot_show_anything() -> None:
    study = study_of(_records({"batch": 0.9, "group": 0.95}))
    group = _by_arm(study)["group"]
    assert (group.p_holm, group.workloads_needed) == (0.5, 6)
    (table,) = workload_tables(study)
    assert table.lines[1].cells[5].text == "too few workloads (2 of 6)"
    assert not table.lines[1].cells[5].strong and table.lines[0].cells[5].text == "–"


def test_six_workloads_can() -> None:
    study = study_of(_records({"batch": 0.9, "group": 0.95}, models=6, seeds=2))
    assert _by_arm(study)["group"].p_holm == 2 / 2**6
    (table,) = workload_tables(study)
    assert table.lines[1].cells[5].strong and table.lines[1].cells[5].text == "0.031"


def test_batch_sizes_and_rates_are_no_workloads() -> None:
    assert _summaries(study_of([make_record(batch_size=size) for size in (2, 8)])) == []
    rates = [make_record(spec={"optimizer": {"name": "sgd", "lr": lr}}) for lr in (0.1, 0.01)]
    assert workload_tables(study_of(rates)) == []


def test_widths_of_one_model_are_one_workload() -> None:
    """Six widths of one network on one dataset are no six draws of what an arm may meet."""
    records = [
        make_record(
            norm=norm, accuracy=accuracy, seed=seed, spec={"model": {"name": "mlp", "depth": 6, "width": width}}
        )
        for norm, accuracy in (("batch", 0.9), ("group", 0.95))
        for width in (8, 16, 32, 64, 128, 256)
        for seed in range(2)
    ]
    study = study_of(records)
    assert workload_tables(study) == []
    assert workloads(study)["model.width=8"] == {"": "model.width=8"}


def test_splits_of_the_data_are_no_workloads() -> None:
    assert _summaries(study_of([make_record(seed=seed, spec={"data": split(32, seed % 2)}) for seed in range(4)])) == []


def test_a_model_and_a_dataset_make_a_workload_and_widths_group_the_tables() -> None:
    records = [
        make_record(
            model=model, labels={"norm": "batch", "model": model, "data": data, "optimizer": "sgd"},
            spec={"model": {"name": model, "width": width}, "data": split(32, 0) | {"name": data}},
        )
        for model in ("mlp", "convnet")
        for data in ("digits", "clothes")
        for width in (8, 16)
    ]  # fmt: skip
    study = study_of(records)
    assert {group: len(found) for group, found in workloads(study).items()} == {"model.width=8": 4, "model.width=16": 4}
    assert _summaries(study)[0].workloads[0] == "model=convnet, data=clothes"


def test_what_varies_beside_the_workloads_makes_tables_of_its_own() -> None:
    records = [
        make_record(model=model, spec={"optimizer": {"name": "sgd", "lr": lr}})
        for model in ("mlp", "convnet")
        for lr in (0.1, 0.01)
    ]
    study = study_of(records)
    assert workloads(study)["optimizer.lr=0.1"] == {
        "model=convnet": "model=convnet, optimizer.lr=0.1", "model=mlp": "model=mlp, optimizer.lr=0.1",
    }  # fmt: skip
    assert [table.title for table in workload_tables(study)] == [
        "Test accuracy across workloads, optimizer.lr=0.01", "Test accuracy across workloads, optimizer.lr=0.1",
    ]  # fmt: skip


def test_an_arm_that_lacks_a_workload_is_left_out_by_name() -> None:
    records = _records({"batch": 0.9, "group": 0.95})
    records += _records({"instance": 0.99}, models=1)
    records += [make_record(norm="instance", model="m1", status="skipped", reason="no positions")]
    study = study_of(records)
    summaries = _by_arm(study)
    assert summaries["instance"].why_none == "skipped in model=m1" and math.isnan(summaries["instance"].rank)
    assert summaries["group"].rank == 1 and summaries["group"].ranked == 2
    (table,) = workload_tables(study)
    assert "Left out where they lack a workload: instance." in table.notes


@pytest.mark.parametrize("baseline", ["batch", "group"])
def test_a_control_takes_no_rank_whatever_the_baseline(baseline: str) -> None:
    records = _records({"batch": 0.9, "group": 0.85})
    records += _records({"batch": 0.95}, norm_settings={"gamma_noise": 1e-6}, control=True)
    study = study_of(records, baseline=baseline)
    assert {arm: summary.rank for arm, summary in _by_arm(study).items()} == {"batch": 1, "group": 2}


def test_a_norm_that_is_only_called_a_control_has_its_rank() -> None:
    records = _records({"batch": 0.9}) + _records({"rate_control": 0.95}, norm_settings={"gamma_noise": 0.0})
    assert _by_arm(study_of(records))["rate_control"].rank == 1
    assert _by_arm(study_of(_records({"batch": 0.9, "rate_control": 0.95})))["rate_control"].rank == 1
    rates = _records(
        {"batch": 0.9}, norm_settings={"gamma_noise": 1e-6}, spec={"optimizer": {"name": "sgd", "lr": 0.1}}
    )
    assert _by_arm(study_of(rates, rows="optimizer.lr", baseline="0.1"))["0.1"].rank == 1  # rows that are no words


def test_a_missing_baseline_and_one_that_failed_leave_nothing_tested() -> None:
    study = study_of(_records({"group": 0.95, "layer": 0.9}))
    assert all(math.isnan(summary.p_holm) and not summary.workloads_needed for summary in _summaries(study))
    assert any("Nothing is tested" in note for note in workload_tables(study)[0].notes)
    failed = _records({"batch": 0.9}, status="failed", reason="killed")
    summaries = _by_arm(study_of(_records({"group": 0.95}) + failed))
    assert summaries["batch"].why_none == "failed 4/4 in model=m0, failed 4/4 in model=m1"
    assert summaries["group"].rank == 1 and math.isnan(summaries["group"].p_holm)


def test_one_seed_has_no_interval_and_unequal_n_is_averaged_as_it_is() -> None:
    summary = _by_arm(study_of(_records({"batch": 0.9}, seeds=1)))["batch"]
    assert summary.mean == pytest.approx(0.895, abs=ROUNDING) and math.isnan(summary.low)
    assert workload_tables(study_of(_records({"batch": 0.9}, seeds=1)))[0].lines[0].cells[3].text == "–"
    unequal = _by_arm(study_of(_records({"batch": 0.9})[:-1]))["batch"]
    # Seven runs, one cut from either end: 0.889, 0.890, 0.897, 0.898, 0.899.
    assert unequal.mean == pytest.approx(0.8946, abs=ROUNDING)
