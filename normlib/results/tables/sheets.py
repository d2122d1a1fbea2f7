"""The sheets of all analyses, in the order in which a reader will ask.

In: a study. Out: `Sheet`s, named batch_size_effect, speed, workloads, gap and cost. This file only gathers.
"""

from __future__ import annotations

from normlib.results.study.study import Study
from normlib.results.tables import batch_size_effect_sheet, cost, gap, speed_sheet, workloads_sheet
from normlib.results.tables.sheet import Sheet


def analysis_sheets(study: Study) -> list[Sheet]:
    """Every sheet that the study has something to say on."""
    return [
        sheet
        for analysis in (batch_size_effect_sheet, speed_sheet, workloads_sheet, gap, cost)
        for sheet in analysis.sheets(study)
    ]
