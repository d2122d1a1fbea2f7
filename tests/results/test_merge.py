"""Checks merging: what agrees is kept once, what does not is kept twice, labelled by machine and told; nothing is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from normlib.results.store.columns import MACHINE
from normlib.results.store.frame import frame, run_name
from normlib.results.store.merge import merge
from normlib.results.store.record import Record
from normlib.results.store.store import Scan
from normlib.results.study.axes import section_keys
from normlib.results.study.identity import check_paired
from normlib.results.study.learning_curves import learning_curves
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from tests.results.factories import make_record

HERE = {"cpu": "EPYC", "accelerator": "cpu", "torch": "2.6.0"}
THERE = {"cpu": "Xeon", "accelerator": "H200", "torch": "2.7.1"}


def _changed(record: Record, **fields: Any) -> Record:
    return Record(**{**record.to_dict(), **fields})


def _runs(environment: dict[str, str], seeds: Sequence[int] = range(2), day: int = 1) -> list[Record]:
    began = f"2025-01-{day:02}T10:00:00+00:00"
    return [
        make_record(norm=norm, seed=seed, environment=environment, started=began)
        for norm in ("batch", "group")
        for seed in seeds
    ]


def _rescored(record: Record) -> Record:
    return _changed(record, metrics={**record.metrics, "test": {"loss": 0.5, "accuracy": 0.5, "samples": 250}})


def _merged(**folders: Sequence[Record]) -> tuple[list[Record], list[str]]:
    return merge({name: Scan(tuple(records), ()) for name, records in folders.items()})


def test_runs_that_agree_are_kept_once_and_the_oldest_is() -> None:
    old, new = _runs(HERE, day=1), _runs(THERE, day=2)
    for folders in ({"a": old, "b": new}, {"b": new, "a": old}):
        records, warnings = _merged(**folders)
        assert sorted(records, key=lambda r: r.id) == sorted(old, key=lambda r: r.id) and warnings == []


def test_other_seeds_and_other_experiments_add_up_without_a_label() -> None:
    other = [_changed(record, experiment="another") for record in _runs(THERE, seeds=[5])]
    records, warnings = _merged(a=_runs(HERE), b=other)
    assert len(records) == 6 and warnings == [] and not any(MACHINE in record.labels for record in records)


@pytest.mark.parametrize(
    ("fact", "change"),
    [
        ("metrics", _rescored),
        ("hashes", lambda record: _changed(record, hashes={**record.hashes, "trunk": "0123"})),
        ("spec", lambda record: _changed(record, spec={**record.spec, "threads": 2})),
        ("status", lambda record: _changed(record, status="diverged")),
    ],
)
def test_what_does_not_agree_is_kept_twice_labelled_and_told(fact: str, change: Any) -> None:
    here, there = _runs(HERE), _runs(THERE)
    records, (warning,) = _merged(a=here, b=[change(there[0]), *there[1:]])
    assert len(records) == 8, "a run that agrees counts on each machine"
    machines = [record.labels[MACHINE] for record in records]
    assert machines == ["EPYC / cpu / torch 2.6.0"] * 4 + ["Xeon / H200 / torch 2.7.1"] * 4
    assert warning.startswith("a (EPYC / cpu / torch 2.6.0) and b (Xeon / H200 / torch 2.7.1) disagree")
    assert f"on the {fact} of 1 run ({here[0].id})" in warning


def test_many_contradictions_are_counted_and_few_named() -> None:
    here, there = _runs(HERE, range(4)), _runs(THERE, range(4))
    _, (warning,) = _merged(a=here, b=[_rescored(record) for record in there])
    assert "metrics of 8 runs" in warning and sum(record.id in warning for record in here) == 3 and ", …)" in warning


def test_machines_that_read_alike_are_told_apart_by_the_folder() -> None:
    here, there = _runs(HERE), [_rescored(record) for record in _runs(HERE, day=2)]
    records, (warning,) = _merged(**{"x/a": here, "x/b": there})
    assert {record.labels[MACHINE] for record in records} == {
        "EPYC / cpu / torch 2.6.0 / x/a",
        "EPYC / cpu / torch 2.6.0 / x/b",
    }
    assert "(EPYC / cpu / torch 2.6.0 / x/b)" in warning


def test_a_third_folder_of_one_of_the_machines_joins_its_section() -> None:
    there = [_rescored(record) for record in _runs(THERE)]
    records, warnings = _merged(a=_runs(HERE), b=there, c=_runs(HERE, seeds=[1, 2], day=3))
    counts = frame(records).groupby(MACHINE)["id"].count().to_dict()
    assert counts == {"EPYC / cpu / torch 2.6.0": 6, "Xeon / H200 / torch 2.7.1": 4}
    assert len(warnings) == 2, "b contradicts a and c"


def test_a_skipped_run_counts_to_the_machine_of_its_folder() -> None:
    skipped = make_record(norm="instance", status="skipped", environment={})
    records, _ = _merged(a=[skipped, *_runs(HERE)], b=[_rescored(record) for record in _runs(THERE)], c=[skipped])
    assert [record.labels[MACHINE] for record in records if record.status == "skipped"] == [
        "EPYC / cpu / torch 2.6.0",
        "unknown machine",
    ]


def test_each_machine_gets_a_section_of_its_own_and_both_rows() -> None:
    shifted = [_changed(record, hashes={**record.hashes, "trunk": "0123"}) for record in _runs(THERE)]
    records, _ = _merged(a=_runs(HERE), b=shifted)
    runs = frame(records)
    assert len(runs) == 8 and section_keys(runs, "norm", "data.batch_size") == [MACHINE]
    check_paired(runs)


def test_each_machine_keeps_its_learning_curves() -> None:
    slow = [_changed(record, hashes={}, curves=_curves(0.25)) for record in _runs(THERE)]
    records, _ = _merged(a=[_changed(record, curves=_curves(0.75)) for record in _runs(HERE)], b=slow)
    study = Study(frame(records), Question(), {run_name(record): record.curves for record in records})
    shown = {section: learning_curves(study, section, "32")["batch"].mean[0] for section in study.places.sections}
    assert shown == {"machine=EPYC / cpu / torch 2.6.0": 0.75, "machine=Xeon / H200 / torch 2.7.1": 0.25}


def _curves(accuracy: float) -> dict[str, dict[str, list[float]]]:
    validation = {"step": [5, 200], "samples": [1, 2], "seconds": [1, 2], "loss": [1, 1]}
    return {"train": {"step": [], "loss": []}, "validation": validation | {"accuracy": [accuracy, accuracy]}}


def test_records_themselves_are_not_changed() -> None:
    here, there = _runs(HERE), [_rescored(record) for record in _runs(THERE)]
    _merged(a=here, b=there)
    assert not any(MACHINE in record.labels for record in [*here, *there])


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_run_that_was_trained_in_one_folder_contradicts_no_failure_in_another(status: str) -> None:
    here = _runs(HERE, day=2)
    lost = make_record(norm="batch", status=status, reason="out of memory", environment=THERE, started="2025-01-01")
    assert lost.id == here[0].id
    for folders in ({"a": here, "b": [lost]}, {"b": [lost], "a": here}):
        records, (warning,) = _merged(**folders)
        assert sorted(records, key=lambda r: r.id) == sorted(here, key=lambda r: r.id)
        assert warning.startswith("1 run failed or skipped in one folder and trained in another")
    elsewhere = [_rescored(record) for record in _runs(THERE)[1:]]
    records, warnings = _merged(a=here, b=[lost, *elsewhere])
    assert len(records) == 8 and len(warnings) == 1, "each machine shows its own, the failure too"


def test_of_two_that_agree_the_one_that_says_its_stage_is_kept() -> None:
    plain = make_record(started="2025-01-01T10:00:00+00:00")
    staged = _changed(plain, labels={**plain.labels, "stage": "fixed"}, started="2025-01-02T10:00:00+00:00")
    for folders in ({"a": [plain], "b": [staged]}, {"b": [staged], "a": [plain]}):
        assert _merged(**folders) == ([staged], [])
