"""Checks the tables of differences: a golden grid, a line a comparison, and cells that say why they are empty."""

from __future__ import annotations

import math

import pytest

from normlib.results.render.markdown import markdown
from normlib.results.store.record import Record
from normlib.results.tables.differences import differences
from normlib.results.tables.paired import paired
from tests.results.factories import make_record, study_of

BASELINE = [0.90, 0.91, 0.92, 0.90, 0.89, 0.93, 0.91]


def _records() -> list[Record]:
    gains = {"group": 0.02, "layer": 0.0005, "none": -0.02}
    records = [make_record(seed=seed, accuracy=accuracy) for seed, accuracy in enumerate(BASELINE)]
    for norm, gain in gains.items():
        for seed, accuracy in enumerate(BASELINE[:5] if norm == "none" else BASELINE):
            records.append(make_record(norm=norm, seed=seed, accuracy=accuracy + gain * (1 + (-1) ** seed / 2)))
    skipped = [make_record(norm="instance", seed=seed, status="skipped", reason="why") for seed in range(7)]
    failed = [make_record(norm="renorm", seed=seed, status="failed", reason="killed") for seed in range(7)]
    return records + skipped + failed


GRID = """\
### Test accuracy in %: difference to batch in points

| norm \\ data.batch_size | 32 |
|:---|---:|
| group | **+2.1 ± 1.0** |
| instance | skipped |
| layer | +0.1 ± 0.2 ≈ |
| none | −2.2 ± 1.4, too few seeds (5 of 7) |
| renorm | failed 7/7 |

- Mean of arm − batch, seed by seed, ± half-width of its 95 % t interval; n = 7, unless a cell says otherwise.
- Bold: better or worse than batch (exact sign-flip test, p ≤ 0.05 after Holm's correction for the 3 comparisons of this table). \
Neither bold nor ≈: no clear difference.
- ≈: equal in practice. The interval lies within ± 0.5 points, the rope: smaller differences do not matter.
- too few seeds (k of m): even the smallest p of k seeds, 2/2ᵏ, is above 0.05 once it is corrected for the 3 comparisons of this table; \
m = 7 seeds are enough. There may still be a difference.
"""


def test_the_grid_golden() -> None:
    assert markdown(differences(study_of(_records()))) == GRID


def test_each_comparison_has_every_figure_and_unrounded_rows() -> None:
    study = study_of(_records())
    (table,) = paired(study)
    by_arm = {line.arm: [cell.text for cell in line.cells] for line in table.lines}
    assert by_arm["group"] == [
        "32", "group", "+2.1 (+1.1 to +3.1)", "100 (59 to 100)", "0.016", "0.047", "7", by_arm["group"][7], "better",
    ]  # fmt: skip
    assert by_arm["instance"][-1] == "skipped" and by_arm["instance"][2:6] == ["–"] * 4
    assert by_arm["none"][-1] == "too few seeds (5 of 7)"
    rows = {row["arm"]: row for row in table.tidy}
    assert rows["group"]["difference"] == pytest.approx(0.15 / 7, abs=1e-12) and math.isnan(
        rows["instance"]["difference"]
    )


def test_a_missing_baseline_is_said_in_its_place() -> None:
    study = study_of(_records(), baseline="btch")
    text = markdown(differences(study))
    assert not paired(study)
    assert "'btch', is none of the rows (norm: batch, group, instance, layer, none, renorm)" in text
    assert "baseline=..." in text
