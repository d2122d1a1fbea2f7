"""Checks the schema of a record: what real runs leave behind passes, and every rule names the field and what came."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from normlib.results.store import schema
from normlib.results.store.record import FIELDS, STATUSES, NewerRecordError, Record, RecordError
from normlib.results.store.store import Store
from tests.results.factories import make_record
from tests.results.mutants import nested, signed

PATH = Path("runs/0123456789abcdef.json")
GALLERY = Path(__file__).parents[2] / "results" / "gallery"


def _changed(where: str, value: Any, status: str = "done") -> dict[str, Any]:
    """A sound record's values with one of them changed; `...` takes it away."""
    values = copy.deepcopy(make_record(status=status).to_dict())
    *path, last = where.split("/")
    node = values
    for key in path:
        node = node[int(key) if isinstance(node, list) else key]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return values


def test_the_schema_has_the_fields_of_a_record() -> None:
    for shape in (schema.Trained, schema.Untrained):
        assert set(shape.__struct_fields__) == set(FIELDS)


@pytest.mark.parametrize("status", STATUSES)
def test_what_the_factory_makes_is_sound(status: str) -> None:
    record = make_record(status=status)
    assert Record.from_json(record.to_json(), PATH) == record


def test_the_records_of_the_gallery_are_sound() -> None:
    scan = Store(GALLERY, "small_batch").scan()
    assert not scan.problems and len(scan.records) > 100


SOUND = [
    ("spec/norm/groups", [1, 2, 3]), ("spec/norm/named", {"a": [0.5], "b": None}), ("spec/norm/size", [[1, 2], "x"]),
    ("spec/model", {"registered": "timm", "name": "resnet18"}), ("spec/note", "é ∞"), ("norm_report/r_max", 3),
    ("metrics/test/loss", None), ("metrics/test/accuracy", 1), ("metrics/test/accuracy", None), ("metrics/test/accuracy", ...), ("metrics/train", {}), ("metric_facts", []), ("metrics/test/own", 3.5), ("hashes", {}),
    ("curves/validation", {}), ("control", True),
    ("changes", ["dropout off"]), ("start", {"weights": "DEFAULT", "kept_norms": ["bn1"]}), ("batch_sizes", {"step": 64}),
    ("metric_facts/1/unit", "bits"), ("curves/validation/accuracy", ...), ("curves/validation/loss", [-1.5]),
    ("curves/validation/accuracy", [None]), ("started", "2026-01-01T00:00:00Z"), ("peak_memory_bytes", None),
    ("environment/anything at all", True), ("labels/stage", "trial"), ("spec/optimizer/lr", 1e300),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value"), SOUND, ids=[where for where, _ in SOUND])
def test_what_a_run_may_hold(where: str, value: Any) -> None:
    assert Record.from_json(signed(_changed(where, value)), PATH)


# A place, what came there, and what the message has to say.
BROKEN: list[tuple[str, Any, str]] = [
    ("steps", "200", r"has '200' at steps: expected `int`, got `str`"),
    ("steps", -1, r"has -1 at steps: expected `int` >= 0"),
    ("steps", 10**20, r"at steps: expected `int` <= 9223372036854775807"),
    ("steps", True, "at steps: expected `int`, got `bool`"),
    ("steps", 1.5, "at steps"),
    ("format", True, "has format True"),
    ("format", 2.0, "at format"),
    ("format", 0, "has format 0"),
    ("format", "3", "has format '3'"),
    ("reason", 3, "has 3 at reason"),
    ("command", None, "has None at command"),
    ("started", "2025-01-01", "has '2025-01-01' at started"),
    ("started", "2025-01-01T10:00:00", "at started: .*timezone"),
    ("labels", ["batch"], "at labels: expected `object`, got `array`"),
    ("labels/norm", 3, "has 3 at labels.norm: expected `str`, got `int`"),
    ("labels/norm", ..., "at labels: norm must be among them"),
    ("labels/seed", "1", "has 'seed' at labels: .*plain name"),
    ("labels/status", "done", "has 'status' at labels"),
    ("labels/test.accuracy", "1", "has 'test.accuracy' at labels"),
    ("labels/machine", "mine", "has 'machine' at labels"),
    ("labels/", "x", "has '' at labels"),
    ("spec/test", {"accuracy": 1}, "has 'test' at spec"),
    ("spec/id", "x", "has 'id' at spec"),
    ("spec/norm", "batch", "has 'batch' at spec.norm: it must be a section with a name"),
    ("spec/model/name", ..., "at spec.model"),
    ("spec/data", ..., "has None at spec.data"),
    ("spec/seed", "0", "has '0' at spec.seed"),
    ("spec/seed", True, "has True at spec.seed"),
    ("spec/norm/eps", 10**20, "at spec.norm.eps"),
    ("spec/norm/eps", {"a": {"b": {}}}, "at spec.norm.eps.a"),
    ("spec/norm/eps", nested(300), "at spec.norm.eps"),
    ("code/norm", 1, "has 1 at code.norm"),
    ("hashes/trunk", ..., "at hashes: trunk must be among them"),
    ("hashes/batches", "abc", "has 'abc' at hashes.batches"),
    ("hashes/batches", ["abc", 1], "has 1 at hashes.batches.1"),
    ("metrics", {}, "at metrics: object missing required field `train`"),
    ("metrics/test", [0.9], "at metrics.test"),
    ("metrics/test/accuracy", 1.01, "has 1.01 at metrics.test.accuracy: figures of a metric in % must be fractions"),
    ("metrics/test/accuracy", "0.9", "at metrics.test.accuracy"),
    ("metrics/test/val dice", 0.5, "has 'val dice' at metrics.test.val dice: a metric must have a plain name"),
    ("metrics/test/samples", 0, "has 0 at metrics.test.samples: it must be the size of the split"),
    ("metric_facts/0/name", "test accuracy", "has 'test accuracy' at metric_facts: a metric must have a plain name"),
    ("metric_facts/0/name", "samples", "has 'samples' at metric_facts"),
    ("metric_facts/1/name", "accuracy", "has 'accuracy' at metric_facts"),
    ("metric_facts/0/step", -1, "has -1 at metric_facts.0.step"),
    ("metric_facts/0/better", True, "at metric_facts.0"),
    ("control", "yes", "has 'yes' at control"),
    ("curves/validation/seconds", [-1.0], "has -1.0 at curves.validation.seconds: it must count up from 0"),
    ("curves/validation/samples", [0.5], "has 0.5 at curves.validation.samples"),
    ("curves/validation/accuracy", [1.5], "has 1.5 at curves.validation.accuracy"),
    ("metrics/test/samples", 2.5, "at metrics.test.samples"),
    ("metrics/other", {"loss": 1, "accuracy": 1}, "at metrics: object contains unknown field `other`"),
    ("norm_report/r_max", "3", "has '3' at norm_report.r_max"),
    ("parameters/trunk", -1, "has -1 at parameters.trunk"),
    ("seconds_per_step", -0.5, "at seconds_per_step"),
    ("reinitialized", "weight", "has 'weight' at reinitialized"),
    ("environment/torch", {"a": 1}, "at environment.torch"),
    ("curves/train/loss", [1.0], "at curves.train: the lists of a curve must have equal length"),
    ("curves/validation/step", ..., "at curves.validation"),
    ("curves/validation/accuracy", ["0.9"], "has '0.9' at curves.validation.accuracy.0"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value", "what"), BROKEN)
def test_each_rule_names_the_file_the_field_and_what_came(where: str, value: Any, what: str) -> None:
    with pytest.raises(RecordError, match=what) as caught:
        Record.from_json(signed(_changed(where, value)), PATH)
    assert not isinstance(caught.value, NewerRecordError)
    assert str(PATH) in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("field", ["metrics", "hashes", "curves"])
def test_a_run_that_was_not_trained_has_measured_nothing(field: str) -> None:
    with pytest.raises(RecordError, match=f"at {field}"):
        Record.from_json(signed(_changed(field, make_record().to_dict()[field], "failed")), PATH)


@pytest.mark.parametrize("value", ["x" * 10_000, ["x" * 100] * 1000, {"k" * 1000: {}}, 10**400], ids=type)
def test_a_long_value_is_cut(value: Any) -> None:
    for where in ("steps", "status", "format", "id", "x" * 500, f"curves/{'x' * 500}", f"hashes/{'x' * 500}"):
        with pytest.raises(RecordError) as caught:
            Record.from_json(signed(_changed(where, value)), PATH)
        assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("2.0.1", "a newer normlib, 2.0.1: it has format 3"),
        ("x\n" * 100, "a newer normlib: it has format 3"),
        (3, "a newer normlib: it"),
    ],
)
def test_a_record_of_a_newer_version_is_named_as_that(version: Any, said: str) -> None:
    text = signed({"format": 3, "environment": {"normlib": version}, "unheard": "of"})
    with pytest.raises(NewerRecordError, match=f"{said}.*upgrade normlib") as caught:
        Record.from_json(text, PATH)
    assert caught.value.path == PATH


TEXTS = {
    "deep lists": "[" * 200_000, "deep mappings": '{"a":' * 200_000, "deep in a field": '{"format": 2, "spec": ' + "[" * 200_000,
    "many digits": '{"format": 2, "steps": ' + "1" * 5000 + "}", "not a number": '{"format": NaN}',
    "infinite": '{"format": 2, "steps": 1e999}', "surrogate": r'{"format": 2, "reason": "\udc00"}',
    "null bytes": b"\x00" * 1000, "undecodable": b'{"format": 2, "reason": "\xff"}', "utf-16": '{"format": 2}'.encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_that_is_no_json_of_ours_is_named(case: str) -> None:
    with pytest.raises(RecordError, match="is cut short or not JSON") as caught:
        Record.from_json(TEXTS[case], PATH)
    assert caught.value.path == PATH and len(str(caught.value)) < 400


def test_what_fits_the_types_is_kept_as_it_was_written() -> None:
    """A whole number in the place of a fraction stays whole, or the checksum would no longer hold."""
    values = _changed("seconds_training", 3)
    record = Record.from_json(signed(values), PATH)
    assert type(record.seconds_training) is int and record.to_dict() == values
    assert dataclasses.asdict(Record.from_json(record.to_json())) == dataclasses.asdict(record)
