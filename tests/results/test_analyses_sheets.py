"""Checks all analyses together: on ordinary and on poor results, and through every writer."""

from __future__ import annotations

import pytest

from normlib.results.render.writers import latex, markdown, tidy_csv
from normlib.results.store.record import Record
from normlib.results.tables.sheets import analysis_sheets
from tests.results.factories import make_record, study_of
from tests.results.record_parts import curves_of

ORDINARY = [
    make_record(norm=norm, control=control, model=model, batch_size=size, seed=seed, curves=curves_of([0.5, 0.9]))
    for norm, control in (("batch", False), ("batch", True), ("group", False))
    for model in ("mlp", "convnet")
    for size in (2, 32)
    for seed in range(3)
]
POOR = {
    "one run": ORDINARY[:1],
    "no run": [],
    "no baseline": [record for record in ORDINARY if record.labels["norm"] == "group"],
    "all failed": [make_record(seed=seed, status="failed", reason="killed") for seed in range(3)],
    "all diverged": [make_record(seed=seed, status="diverged", accuracy=0.1) for seed in range(3)],
    "unequal n": ORDINARY[:-4],
}


def test_every_analysis_has_its_sheet_outside_the_terminal() -> None:
    sheets = analysis_sheets(study_of(ORDINARY))
    assert list(dict.fromkeys(sheet.name for sheet in sheets)) == [
        "batch_size_effect",
        "speed",
        "workloads",
        "gap",
        "cost",
    ]
    assert not any(sheet.in_terminal for sheet in sheets)


def test_every_sheet_counts_the_runs_that_diverged() -> None:
    broken = [
        make_record(norm="none", model=model, batch_size=size, status="diverged" if size == 2 else "done")
        for model in ("mlp", "convnet")
        for size in (2, 32)
    ]
    sheets = analysis_sheets(study_of(ORDINARY + broken))
    counted = {(sheet.name, note.partition(";")[0]) for sheet in sheets for note in sheet.notes if "iverged:" in note}
    assert counted == {
        (sheet.name, "Diverged: none 1/2 trained runs") for sheet in sheets if sheet.name != "workloads"
    } | {
        ("workloads", "Diverged: none 2/4 trained runs")  # over both models
    }


@pytest.mark.parametrize("records", [ORDINARY, *POOR.values()], ids=["ordinary", *POOR])
def test_every_sheet_is_whole_and_can_be_written(records: list[Record]) -> None:
    sheets = analysis_sheets(study_of(records))
    for sheet in sheets:
        assert {len(line.cells) for line in sheet.lines} <= {len(sheet.header)}
        assert len(set(sheet.header)) == len(sheet.header)
        assert all(cell.text and "nan" not in cell.text for line in sheet.lines for cell in line.cells)
        assert sheet.notes and not any("nan" in note for note in sheet.notes)
    assert markdown(sheets).count("### ") == len(sheets)
    assert "nan" not in tidy_csv(sheets)
    assert latex(sheets).count(r"\begin{table}") == sum(bool(sheet.lines) for sheet in sheets)
