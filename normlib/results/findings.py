"""Everything that is found out about one view of the runs: tables, comparisons, and the sheets that put them in words.

In: a study. Out: `Findings`. This file only gathers; each analysis has a file of its own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from normlib.results.study.comparison import Comparison
from normlib.results.study.identity import NOT_VERIFIED
from normlib.results.study.metrics import metrics_of
from normlib.results.study.pairing import paired
from normlib.results.study.study import Study
from normlib.results.tables.means import Table, comparison
from normlib.results.tables.means_sheet import METRICS, main_sheet
from normlib.results.tables.paired_sheet import difference_sheets, no_baseline_sheet, paired_sheets
from normlib.results.tables.sheet import Sheet
from normlib.results.tables.sheets import analysis_sheets


@dataclass(frozen=True)
class Findings:
    """One view of the runs. `view` is "" but in experiments with tuning, where there are "tuned" and "fixed"; `heading`
    then says what the view is."""

    view: str
    heading: str
    study: Study
    tables: tuple[Table, ...]
    comparisons: tuple[Comparison, ...]
    sheets: tuple[Sheet, ...]


def find(study: Study, view: str = "", heading: str = "") -> Findings:
    """All analyses of a study; `view` goes to the titles of the sheets, `heading` to their notes."""
    if not len(study.runs):
        return Findings(view, heading, study, (), (), ())
    tables = comparison(study)
    comparisons = paired(study)
    differences = difference_sheets(study, comparisons)
    if not differences and len(study.places.row_labels) > 1:
        differences = [no_baseline_sheet(study)]
    others = [metric for metric in metrics_of(study.runs) if metric.name != study.question.facts.name]
    sheets = [*map(main_sheet, tables), *differences, *paired_sheets(study, comparisons)]
    sheets += [main_sheet(table, METRICS) for metric in others for table in comparison(study, metric)]
    sheets += analysis_sheets(study)
    if not study.hashed:
        sheets = [dataclasses.replace(sheet, notes=(*sheet.notes, NOT_VERIFIED)) for sheet in sheets]
    if view:
        sheets = [
            dataclasses.replace(sheet, title=f"{sheet.title} ({view})", notes=(f"{heading}.", *sheet.notes))
            for sheet in sheets
        ]
    return Findings(view, heading, study, tuple(tables), tuple(comparisons), tuple(sheets))


def filed_apart(findings: Findings) -> Findings:
    """The same with sheets whose files are named by the view, for those that are not the main findings."""
    sheets = (
        dataclasses.replace(sheet, name=f"{sheet.name}_{findings.view}", part=sheet.part or sheet.name)
        for sheet in findings.sheets
    )
    return dataclasses.replace(findings, sheets=tuple(sheets))
