"""Checks that a timing which breaks the schema under a right checksum is named, and that the gallery's are sound."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from normlib.results.store.record import NewerRecordError, RecordError
from normlib.timings.folder import BenchFolder
from normlib.timings.record import Timing
from tests.results.mutants import nested, signed

GALLERY = Path(__file__).parents[2] / "results" / "gallery"


def _values() -> dict[str, Any]:
    values = json.loads(min((GALLERY / "bench" / "runs").glob("*.json")).read_bytes())
    del values["checksum"]
    return values


def test_the_timings_of_the_gallery_are_sound() -> None:
    assert len(BenchFolder(GALLERY).read()) == len(list((GALLERY / "bench" / "runs").glob("*.json"))) > 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"copies": "9"}, "has '9' at copies: expected `int`, got `str`"),
        ({"threads": 10**20}, "at threads"),
        ({"passes": "back"}, "at passes"),
        ({"inputs": "odd"}, "at inputs"),
        ({"cache": "icy"}, "at cache"),
        ({"seconds": {"normlib": [[1.0], [0.0]]}}, r"has 0.0 at seconds.normlib.1.0: expected `float` > 0.0"),
        ({"seconds": {"normlib": [[1.0]]}}, "at seconds.normlib"),
        ({"seconds": {"normlib": [1.0, 2.0]}}, "at seconds.normlib.0"),
        ({"seconds": {"normlib": [[1.0], [1.0]], "torch.nn": [[1.0], [1.0, 2.0]]}}, "in the same blocks and rounds"),
        ({"seconds": {"normlib": [[1.0], [1.0]], "torch.nn": [[1.0]] * 3}}, "in the same blocks and rounds"),
        ({"seconds": {"torch.nn": [[1.0], [1.0]]}}, "has to have seconds of normlib"),
        ({"what": ["normlib"]}, "at what"),
        ({"started": "yesterday"}, "at started"),
        ({"norm": "\ud800"}, "surrogate"),
        ({"settings": {"eps": nested(400)}}, "at settings"),
        ({"extra": 1}, "unknown field `extra`"),
        ({"format": True}, "no timing of format 2"),
    ],
)  # fmt: skip
def test_a_signed_timing_that_breaks_the_schema_is_named(change: dict[str, Any], what: str) -> None:
    with pytest.raises(RecordError, match=what) as caught:
        Timing.from_json(signed(_values() | change), Path("runs/a.json"))
    assert "runs/a.json" in str(caught.value) and len(str(caught.value)) < 300


def test_a_timing_of_a_newer_version_and_a_deep_one() -> None:
    with pytest.raises(NewerRecordError, match="newer normlib"):
        Timing.from_json(signed(_values() | {"format": 3}))
    with pytest.raises(RecordError, match="not JSON"):
        Timing.from_json("[" * 200_000)


def test_a_timing_of_an_older_format_is_named_and_goes_with_the_next_bench(tmp_path: Path) -> None:
    """Its rounds were not in blocks, so that it has no interval; what was edited is no bench's, and stays."""
    older = _values() | {"format": 1, "seconds": {"normlib": [1.0, 1.0]}}
    runs = tmp_path / "bench" / "runs"
    runs.mkdir(parents=True)
    (runs / "a.json").write_text(signed(older))
    (runs / "b.json").write_text(json.dumps(older | {"checksum": "0"}))
    with pytest.raises(
        RecordError, match="a.json: has format 1, whose rounds were not in blocks.*`normlib bench` makes it again"
    ):
        BenchFolder(tmp_path).read()
    BenchFolder(tmp_path).keep([])
    assert [path.name for path in runs.glob("*.json")] == ["b.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "bench" / "runs").mkdir(parents=True)
    os.mkfifo(tmp_path / "bench" / "runs" / "a.json")
    with pytest.raises(RecordError, match="a.json: is a pipe"):
        BenchFolder(tmp_path).read()
