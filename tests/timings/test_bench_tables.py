"""Checks the tables of timings: the gallery's figures, verdicts in words, and that what was not timed has no column."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest

from normlib.timings.folder import BenchFolder
from normlib.timings.ratio import NO_SLOWER, SLOWER
from normlib.timings.record import Timing
from normlib.timings.settings import INPUTS
from normlib.timings.tables import entries, tables

GALLERY = Path(__file__).parents[2] / "results" / "gallery"


def _timings() -> list[Timing]:
    found = BenchFolder(GALLERY).read()
    return sorted(found, key=lambda t: (t.norm, t.shape, t.layout != "contiguous", INPUTS.index(t.inputs)))


def test_the_csv_of_the_gallery_has_the_figures_of_its_timings() -> None:
    with open(GALLERY / "bench" / "tables" / "cost.csv", newline="") as file:
        committed = list(csv.DictReader(file))
    rows = entries(_timings()).tidy
    assert len(rows) == len(committed) > 0
    for row, line in zip(rows, committed, strict=True):
        assert {name: "" if value is None else str(value) for name, value in row.items()} == line


def _timing(**over: object) -> Timing:
    """One call of a norm takes 2 ms, torch's 1 ms, the compiled formula's 4 ms."""
    seconds = {"normlib": [[2e-3] * 3] * 2, "torch.nn": [[1e-3] * 3] * 2, "compiled": [[4e-3] * 3] * 2}
    values = {
        "seconds": seconds,
        "allowed": {"torch.nn": 1.05, "compiled": 1.2},
        "memory_bytes": {"normlib": 2**19},
        "left_out": {},
    }
    return dataclasses.replace(_timings()[0], **(values | over))  # type: ignore[arg-type]


def _cells(timing: Timing) -> dict[str, str]:
    (table,) = tables([timing])
    (line,) = table.lines
    return {name: cell.text + "!" * cell.strong for name, cell in zip(table.header, line.cells, strict=True)}


def test_a_line_by_hand() -> None:
    cells = _cells(_timing())
    assert cells["ms"] == "2.000" and cells["to torch.nn"] == "2.00 (2.00–2.00)"
    assert cells["to compiled"] == "0.50 (0.50–0.50)" and "to copy" not in cells and "to timm" not in cells
    assert cells["verdict"] == f"{SLOWER}!", "of two verdicts the worse counts"
    assert (cells["MiB"], cells["MiB, torch.nn"]) == ("0.50", "–")


@pytest.mark.parametrize(("allowed", "verdict"), [({"compiled": 1.2}, NO_SLOWER), ({}, "–")])
def test_only_what_has_a_limit_has_a_verdict(allowed: dict[str, float], verdict: str) -> None:
    assert _cells(_timing(allowed=allowed))["verdict"] == verdict


def test_notes_name_limits_reasons_and_the_last_level_cache() -> None:
    timings = [_timing(), _timing(norm="group", cache="cold", cache_bytes=2**25, left_out={"timm": "is not installed"})]
    (table,) = tables(timings)
    notes = " ".join(table.notes)
    assert f"Allowed: 1.05 of torch.nn ({timings[0].norm}, group); 1.2 of compiled ({timings[0].norm}, group)." in notes
    assert "Left out, timm: group: is not installed." in notes and "last-level cache (32 MiB)" in notes
