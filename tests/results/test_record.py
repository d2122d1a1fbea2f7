"""Checks that a record says the same after a trip through its text, and that no damaged text passes for a record."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from normlib.results.store.record import FIELDS, Record, RecordError, checksum, finite_or_none
from tests.results.factories import make_record

PATH = Path("runs/0123456789abcdef.json")


@pytest.mark.parametrize("status", ["done", "diverged", "failed", "skipped"])
def test_the_text_gives_the_same_record_back(status: str) -> None:
    record = make_record(status=status)
    assert Record.from_json(record.to_json()) == record
    assert Record.from_json(record.to_json()).to_json() == record.to_json()
    assert record.trained == (status in ("done", "diverged"))


def test_the_text_is_plain_json_small_and_complete() -> None:
    text = make_record().to_json()
    values = json.loads(text)
    assert list(values) == [*FIELDS, "checksum"]
    assert values.pop("checksum") == checksum(values)
    assert len(text) < 4096
    assert '"train": {"step": [1, 200]' in text  # a curve is one line


def test_white_space_and_key_order_do_not_matter() -> None:
    record = make_record()
    shuffled = dict(reversed(json.loads(record.to_json()).items()))
    assert Record.from_json(json.dumps(shuffled, indent=4)) == record


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_text_cut_short_is_named(kept: float) -> None:
    text = make_record().to_json()
    with pytest.raises(RecordError, match="cut short") as caught:
        Record.from_json(text[: int(len(text) * kept)], PATH)
    assert str(PATH) in str(caught.value) and "compare" in str(caught.value)
    assert caught.value.path == PATH


def test_every_single_edited_number_is_caught() -> None:
    record = make_record(accuracy=0.9)
    edited = record.to_json().replace('"accuracy": 0.9,', '"accuracy": 0.95,', 1)
    assert edited != record.to_json()
    with pytest.raises(RecordError, match="checksum"):
        Record.from_json(edited, PATH)


def _signed(values: dict[str, object]) -> str:
    return json.dumps({**values, "checksum": checksum(values)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "has format 3"),
        ({"format": 1}, "has format 1.*read it with the normlib that wrote it"),
        ({"status": "fine"}, "none of done, diverged, failed, skipped"),
        ({"id": "short"}, "16 hexadecimal"),
        ({"extra": 1}, r"holds \['extra'\]"),
        ({"steps": ...}, "lacks steps"),
    ],
)
def test_a_signed_text_that_is_no_record_is_refused(change: dict[str, object], message: str) -> None:
    values = {k: v for k, v in (make_record().to_dict() | change).items() if v is not ...}
    with pytest.raises(RecordError, match=message) as caught:
        Record.from_json(_signed(values), PATH)
    assert str(PATH) in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"format": 2}', b"\xff\xfe\x00"])
def test_other_json_and_other_bytes_are_refused(text: str | bytes) -> None:
    with pytest.raises(RecordError):
        Record.from_json(text, PATH)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_never_reaches_a_file(value: float) -> None:
    with pytest.raises(RecordError, match="finite_or_none"):
        make_record(norm_report={"r_max": value}).to_json()
    assert finite_or_none(value) is None
    assert finite_or_none(0.5) == 0.5


def test_the_readme_explains_every_key() -> None:
    readme = (Path(__file__).parents[2] / "results" / "README.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+)` \|", readme.partition("## A record")[2], flags=re.MULTILINE)
    assert explained == [*FIELDS, "checksum"]


def test_a_record_is_read_without_heavy_imports() -> None:
    code = (
        "import sys, normlib.results.store.record, normlib.results.store.store;"
        "print([m for m in ('torch', 'pandas', 'numpy', 'matplotlib', 'scipy', 'rich') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
