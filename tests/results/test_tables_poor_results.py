"""Checks all tables together: on ordinary and on poor results, and through every writer."""

from __future__ import annotations

import math

import pytest

from normlib.results.render.writers import latex, markdown, tidy_csv
from normlib.results.store.record import Record
from normlib.results.tables.table import make_tables
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

COUNTING = ("batch_size_effect", "speed", "workloads", "gap", "cost")
"""The tables whose figures count diverged runs, and say how many."""


def test_every_table_counts_the_runs_that_diverged() -> None:
    broken = [
        make_record(norm="none", model=model, batch_size=size, status="diverged" if size == 2 else "done")
        for model in ("mlp", "convnet")
        for size in (2, 32)
    ]
    tables = [table for table in make_tables(study_of(ORDINARY + broken)) if table.name in COUNTING]
    counted = {(table.name, note.partition(";")[0]) for table in tables for note in table.notes if "iverged:" in note}
    assert {table.name for table in tables} == set(COUNTING)
    assert counted == {
        (name, f"Diverged: none {'2/4' if name == 'workloads' else '1/2'} trained runs")  # workloads: over both models
        for name in COUNTING
    }


@pytest.mark.parametrize("records", [ORDINARY, *POOR.values()], ids=["ordinary", *POOR])
def test_every_table_is_whole_and_can_be_written(records: list[Record]) -> None:
    tables = make_tables(study_of(records))
    for table in tables:
        assert {len(line.cells) for line in table.lines} <= {len(table.header)}
        assert len(set(table.header)) == len(table.header)
        assert all(cell.text and "nan" not in cell.text for line in table.lines for cell in line.cells)
        assert table.notes and not any("nan" in note for note in table.notes)
    assert markdown(tables).count("### ") == len(tables)
    assert "nan" not in tidy_csv(tables)
    assert latex(tables).count(r"\begin{table}") == sum(bool(table.lines) for table in tables)


def test_a_csv_is_flat() -> None:
    """Fields of a nested row follow its name; booleans are true and false, texts are joined."""
    study = study_of(ORDINARY)
    (*_, effect) = next(table for table in make_tables(study) if table.name == "batch_size_effect").tidy
    assert (effect["arm"], effect["slope_against_n"], effect["slope_against_too_few"]) == ("group", 3, "true")
    (speed, *_) = next(table for table in make_tables(study) if table.name == "speed").tidy
    assert speed["steps_median"] == 20 and math.isnan(speed["steps_low"]) and "steps" not in speed
    (summary, *_) = next(table for table in make_tables(study) if table.name == "workloads").tidy
    assert summary["workloads"] == "model=convnet; model=mlp"
