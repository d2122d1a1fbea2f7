"""Checks that no record ends a report in a traceback: mutants under right checksums beside two sound records.

Each is either named and left out, or the whole report works on it. NORMLIB_FUZZ=5000 tries so many mutants.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from normlib.cli import main
from normlib.results.store.store import Store
from tests.results.factories import make_record
from tests.results.mutants import file_name, mutants, signed, sound_values

CHEAP = int(os.environ.get("NORMLIB_FUZZ", "120"))
WHOLE = max(15, CHEAP // 50)
SECONDS = 20.0
"""For a report and an export, on a machine that does other things too."""
BASES = sound_values()


def _settings(number: int) -> settings:
    return settings(
        max_examples=number, derandomize=True, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )  # fmt: skip


def _stored(values: dict[str, object], run_id: str, folder: Path) -> tuple[Store, Path, bool]:
    """A mutant beside two sound records, its file, and whether it is refused, in a message that can be printed."""
    shutil.rmtree(folder, ignore_errors=True)
    store = Store(folder, "fuzzed")
    sound = [make_record(norm=norm, seed=0) for norm in ("batch", "group")]
    for record in sound:
        store.write(record)
    path = store.runs / file_name(values, run_id)
    path.write_text(signed(values))
    scan = store.scan()
    assert [problem.path for problem in scan.problems] in ([], [path])
    assert all(record in scan.records for record in sound if store.path(record.id) != path)
    for problem in scan.problems:
        assert len(str(problem)) < 600 + len(str(path)) and str(problem).isprintable()
    return store, path, bool(scan.problems)


def _report(store: Store, path: Path, refused: bool, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Report and export, and hold both to their promises."""
    folder = store.folder.parent
    before = sorted(store.folder.rglob("*"))
    capsys.readouterr()
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(["report", str(store.folder), "--to", str(folder / "to")])
        shown, complaint = capsys.readouterr()
        exported = main(["export", str(store.folder), "--to", str(folder / f"runs{suffix}")])
        told, _ = capsys.readouterr()
    assert time.monotonic() - began < SECONDS
    assert code in (0, 2) and exported == 0
    assert (code == 2) == bool(complaint) and len(complaint.splitlines()) <= 1
    assert sorted(store.folder.rglob("*")) == before, "nothing is written but to the target"
    assert {entry.name for entry in folder.iterdir()} == {"fuzzed", f"runs{suffix}", "to"}
    if refused:
        assert code == 0 and path.name in shown and path.name in told


@_settings(CHEAP)
@given(mutant=mutants(BASES))
def test_a_mutant_is_left_out_or_reported(
    mutant: tuple[dict[str, object], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without figures, which take the time of twenty reports."""
    monkeypatch.setattr("normlib.results.report.figures_of", lambda *_: {})
    store, path, refused = _stored(*mutant, tmp_path / "place")
    if not refused:  # else the report is one of two sound records, over and over
        _report(store, path, refused, ".jsonl", capsys)


@_settings(WHOLE)
@given(mutant=mutants(BASES))
def test_a_mutant_is_left_out_or_drawn(
    mutant: tuple[dict[str, object], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    _report(*_stored(*mutant, tmp_path / "place"), ".parquet", capsys)
