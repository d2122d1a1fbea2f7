"""Checks the frame: every fact a column, whole numbers whole, the newest record of a spec kept, mixed code noticed."""

from __future__ import annotations

import json

import pandas as pd

from normlib.results.store.frame import frame, latest, mixed_code, settings
from normlib.results.store.record import Record
from tests.results.factories import make_record


def test_a_row_a_run_and_a_column_a_fact() -> None:
    records = [
        make_record(norm="batch_renorm", accuracy=0.75),
        make_record(norm="group", norm_settings={"num_groups": 8}, seed=3),
        make_record(norm="instance", status="skipped", reason="no positions"),
    ]
    table = frame(records)
    first, second, third = table.to_dict("records")
    assert list(table["id"]) == [record.id for record in records]
    assert first["norm"] == "batch_renorm" and first["norm.name"] == "batch_renorm" and first["optimizer"] == "sgd"
    assert (first["test.accuracy"], first["test.loss"], first["norm_report.r_max"]) == (0.75, 0.25, 3.0)
    assert (second["seed"], second["norm.num_groups"], second["data.batch_size"]) == (3, 8, 32)
    assert (first["parameters.trunk"], first["parameters.norm"], first["steps"]) == (92_682, 1536, 200)
    assert third["status"] == "skipped" and third["reason"] == "no positions" and third["planned_steps"] == 200
    assert json.loads(first["hashes.batches"]) == records[0].hashes["batches"] and pd.isna(third["hashes.trunk"])
    assert pd.isna(third["steps"]) and pd.isna(third["test.accuracy"]) and pd.isna(third["seconds_per_step"])


def test_whole_numbers_stay_whole_in_the_file() -> None:
    text = frame([make_record(), make_record(norm="group", norm_settings={"num_groups": 8})]).to_csv()
    assert ",8," in text and ",8.0," not in text


def test_settings_are_what_was_chosen_and_nothing_measured() -> None:
    names = settings(frame([make_record()]))
    assert names[:5] == ["norm", "model", "data", "task", "optimizer"]
    assert {"seed", "data.batch_size", "training.epochs", "threads"} <= set(names)
    assert not {"status", "steps", "test.accuracy", "code.norm", "hashes.trunk", "environment.threads"} & set(names)


def test_lists_in_a_spec_become_text() -> None:
    table = frame([make_record(spec={"model": {"name": "mlp", "widths": [8, 16]}})])
    assert table.at[0, "model.widths"] == "[8, 16]"


def test_no_records_make_an_empty_frame() -> None:
    table = frame([])
    assert len(table) == 0 and {"id", "status", "planned_steps"} <= set(table.columns)


def test_the_newest_record_of_a_spec_is_kept() -> None:
    new = {"norm": "new", "model": "m", "data": "d", "training": "t"}
    old = make_record(seed=1, started="2025-01-01T00:00:00+00:00")
    newer = make_record(seed=1, started="2025-01-02T00:00:00+00:00", code=new)
    other = make_record(seed=2)
    assert old.id != newer.id
    for records in ([old, newer, other], [newer, other, old]):
        kept, superseded = latest(records)
        assert {record.id for record in kept} == {newer.id, other.id} and superseded == 1
        assert set(frame(records)["id"]) == {newer.id, other.id}


def test_versions_of_code_that_mix_are_named() -> None:
    new = {**make_record().code, "norm": "another version"}
    records = [make_record(seed=1), make_record(seed=2, code=new), make_record(norm="group")]
    (warning,) = mixed_code(frame(records))
    assert "2 versions of the norm batch" in warning
    assert mixed_code(frame(records[:1] + records[2:])) == []
    assert "training code" in mixed_code(frame([make_record(), make_record(seed=1, code={"training": "new"})]))[-1]


def test_a_method_on_weights_beside_a_norm_is_no_other_version_of_the_norm() -> None:
    def beside_group(seed: int, version: str) -> Record:
        code = {**make_record(norm="group").code, "weights": version}
        return make_record(norm="group", seed=seed, norm_settings={"weights": "weight_standardization"}, code=code)

    assert mixed_code(frame([make_record(norm="group"), beside_group(0, "1"), beside_group(1, "1")])) == []
    (warning,) = mixed_code(frame([make_record(norm="group"), beside_group(0, "1"), beside_group(1, "2")]))
    assert "2 versions of the norm weight_standardization" in warning
