"""Checks the gap between training and test accuracy by hand, and what has none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from normlib.results.store.record import Record
from normlib.results.tables.gap import gap_tables
from tests.results.factories import make_record, study_of

ROUNDING = 1e-12  # float64 on numbers near 1
T_1 = math.tan(math.pi * 0.475)  # 97.5 % quantile of Student's t with 1 degree of freedom, closed form


def _record(train: float, test: float, **over: Any) -> Record:
    metrics = {
        name: {"loss": 0.1, "accuracy": accuracy, "samples": samples}
        for name, accuracy, samples in (("train", train, 500), ("validation", test, 100), ("test", test, 250))
    }
    return make_record(metrics=metrics, **over)


def test_mean_and_interval_by_hand() -> None:
    (table,) = gap_tables(study_of([_record(0.99, 0.95), _record(0.99, 0.93, seed=1)]))
    (gap,) = table.rows
    assert gap.mean == pytest.approx(0.05, abs=ROUNDING) and gap.n == 2
    rounding = (1 / 500**2 + 1 / 250**2) / 12  # of both accuracies
    assert gap.half_width == pytest.approx(T_1 * math.sqrt((0.02**2 / 2 + rounding) / 2), abs=ROUNDING)


def test_cells_without_a_gap_say_why_and_n_where_it_differs() -> None:
    records = [_record(0.9, 0.95, seed=seed) for seed in range(2)]
    records += [_record(0.9, 0.9, seed=seed, batch_size=2) for seed in range(2)]
    records += [_record(0.99, 0.95, norm="group"), make_record(norm="group", seed=1, status="failed", reason="killed")]
    records += [make_record(norm="layer", status="failed", reason="killed")]
    records += [make_record(norm="instance", status="skipped", reason="why")]
    (table,) = gap_tables(study_of(records))
    assert {line.arm: [cell.text for cell in line.cells[1:]] for line in table.lines} == {
        "batch": ["0.0 ± 1.2", "−5.0 ± 1.2"],
        "group": ["–", "+4.0 (n=1)"],
        "instance": ["–", "skipped"],
        "layer": ["–", "failed 1/1"],
    }
    assert "unless a cell says otherwise" in table.notes[0]
    assert table.tidy[0].keys() >= {"section", "column", "arm", "mean", "half_width", "n", "why_none"}


def test_diverged_runs_are_counted_in_a_note() -> None:
    records = [_record(0.9, 0.8, seed=seed, batch_size=size) for seed in range(2) for size in (2, 8)]
    assert len(gap_tables(study_of(records))[0].notes) == 1
    records += [_record(0.1, 0.1, norm="group", seed=seed, status="diverged" if seed else "done") for seed in range(4)]
    (table,) = gap_tables(study_of(records))
    assert table.notes[1:] == (
        "Diverged: group 3/4 trained runs; they count with what the broken network scores, where that is a number.",
    )


def test_no_runs_no_table() -> None:
    assert gap_tables(study_of([])) == []
