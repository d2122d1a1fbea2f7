"""Checks what arms cost: medians, ratios to the baseline, and figures that are unknown."""

from __future__ import annotations

import math

import pytest

from normlib.results.study.study import Study
from normlib.results.tables.cost import Cost, cost_tables
from tests.results.factories import make_record, study_of


def _costs(study: Study) -> list[Cost]:
    return [cost for table in cost_tables(study) for cost in table.rows]


def test_medians_and_ratios_by_hand() -> None:
    records = [make_record(seed=seed, seconds_per_step=s) for seed, s in enumerate((1e-3, 2e-3, 9e-3))]
    records += [make_record(norm="none", seed=seed, seconds_per_step=1e-3) for seed in range(3)]
    batch, none = _costs(study_of(records))
    assert (batch.seconds_per_step, batch.ratio, none.ratio, batch.n) == (2e-3, 1.0, 0.5, 3)
    assert (batch.trunk_parameters, batch.norm_parameters, batch.state_size) == (92_682, 1536, 1542)
    assert (none.norm_parameters, none.state_size) == (0, 0)
    assert batch.peak_memory_bytes == pytest.approx(250_000_000)


def test_words_and_what_is_unknown() -> None:
    records = [make_record(peak_memory_bytes=0), make_record(norm="group", peak_memory_bytes=None)]
    records += [make_record(norm="layer", peak_memory_bytes=2048), make_record(norm="none", peak_memory_bytes=2**31)]
    records += [make_record(norm="instance", status="skipped", reason="why")]
    (table,) = cost_tables(study_of(records))
    texts = {line.arm: [cell.text for cell in line.cells[2:]] for line in table.lines}
    assert texts["batch"] == ["0.4", "1.00", "–", "92,682", "1,536", "1,542", "1"]
    assert [texts[arm][2] for arm in ("group", "layer", "none")] == ["–", "< 0.1", "2,048.0"]
    assert texts["instance"] == ["skipped", *["–"] * 5, "0"]
    assert any("Peak memory –" in note for note in table.notes)


def test_a_missing_or_failed_baseline_leaves_no_ratio() -> None:
    (cost,) = _costs(study_of([make_record(norm="group")]))
    assert math.isnan(cost.ratio) and cost.seconds_per_step == 4e-4
    group = _costs(study_of([make_record(norm="group"), make_record(status="failed", reason="killed")]))[1]
    assert group.arm == "group" and math.isnan(group.ratio)
    at_once = _costs(study_of([make_record(norm="group"), make_record(seconds_per_step=0.0)]))
    assert [cost.arm for cost in at_once if math.isnan(cost.ratio)] == ["batch", "group"]
    assert cost_tables(study_of([])) == []
