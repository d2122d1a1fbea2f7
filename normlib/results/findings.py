"""Everything that is found out about one view of the runs: tables, comparisons, and the sheets that put them in words.

In: a study. Out: `Findings`. This file only gathers; each analysis has a file of its own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from normlib.results.paired import Comparison, paired
from normlib.results.paired_sheet import difference_sheets, no_baseline_sheet, paired_sheets
from normlib.results.sheet import Sheet
from normlib.results.study import Study
from normlib.results.table_sheet import main_sheet
from normlib.results.tables import Table, comparison


@dataclass(frozen=True)
class Findings:
    """One view of the runs. `view` is "" but in experiments with tuning, where there are "tuned" and "fixed"."""

    view: str
    study: Study
    tables: tuple[Table, ...]
    comparisons: tuple[Comparison, ...]
    sheets: tuple[Sheet, ...]


def find(study: Study, view: str = "", suffix: str = "") -> Findings:
    """All analyses of a study. `suffix` goes to the names of the sheets' files, and `view` to their titles."""
    if not len(study.runs):
        return Findings(view, study, (), (), ())
    tables = comparison(study)
    comparisons = paired(study)
    differences = difference_sheets(study, comparisons)
    if not differences and len(study.places.row_labels) > 1:
        differences = [no_baseline_sheet(study)]
    sheets = [*map(main_sheet, tables), *differences, *paired_sheets(study, comparisons)]
    return Findings(
        view, study, tuple(tables), tuple(comparisons), tuple(_named(sheet, view, suffix) for sheet in sheets)
    )


def _named(sheet: Sheet, view: str, suffix: str) -> Sheet:
    title = f"{sheet.title} ({view})" if view else sheet.title
    return dataclasses.replace(sheet, name=sheet.name + suffix, title=title)
