"""Checks the paired table in words: a golden grid and its long form, and cells that say why they are empty."""

from __future__ import annotations

import csv
import io

from normlib.results.render.writers import markdown, tidy_csv
from normlib.results.store.record import Record
from normlib.results.study.pairing import paired
from normlib.results.tables.paired_sheet import difference_sheets, no_baseline_sheet, paired_sheets
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
| none | −2.2 ± 1.4, n=5 cannot show it; 7 needed |
| renorm | failed 7/7 |

- Mean of arm − batch, seed by seed, ± half-width of its 95 % t interval; n = 7, unless a cell says otherwise.
- Bold: differs from batch (exact sign-flip test, p ≤ 0.05 after Holm's correction for the 3 comparisons of this table).
- ≈: equal in practice, the interval lies within ± 0.5 points.
- n cannot show it: the smallest p of n replicates, 2/2ⁿ, is above 0.05 once it is corrected for the 3 comparisons of this table; 7 replicates \
are needed. It does not mean that there is no difference.
"""


def test_the_grid_golden() -> None:
    study = study_of(_records())

    assert markdown(difference_sheets(study, paired(study))) == GRID


def test_the_long_form_has_every_figure_and_an_unrounded_csv() -> None:
    study = study_of(_records())
    comparisons = paired(study)
    (sheet,) = paired_sheets(study, comparisons)
    by_arm = {line.arm: [cell.text for cell in line.cells] for line in sheet.lines}
    assert by_arm["group"] == [
        "32", "group", "+2.1 (+1.1 to +3.1)", "100 (59 to 100)", "0.016", "0.047", "7", by_arm["group"][7], "better",
    ]  # fmt: skip
    assert by_arm["instance"][-1] == "skipped" and by_arm["instance"][2:6] == ["–"] * 4
    assert by_arm["none"][-1] == "n=5 cannot show it; 7 needed"
    rows = {row["arm"]: row for row in csv.DictReader(io.StringIO(tidy_csv([sheet])))}
    group = next(each for each in comparisons if each.arm == "group")
    assert float(rows["group"]["difference"]) == group.difference and rows["instance"]["difference"] == ""


def test_a_missing_baseline_is_said_in_its_place() -> None:
    text = markdown([no_baseline_sheet(study_of(_records(), baseline="btch"))])
    assert "'btch', is none of the rows (norm: batch, group, instance, layer, none, renorm)" in text
    assert "baseline=..." in text
