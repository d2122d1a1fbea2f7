"""The runs that failed, diverged or were skipped, with their reasons, as a sheet.

In: a study of all runs of a report, those of trials too, whose stage is then part of the section. Out: one `Sheet`, a line
for each arm, section and reason. This file hides no run and judges none.
"""

from __future__ import annotations

import pandas as pd

from normlib.results.store.record import DIVERGED, FAILED, SKIPPED
from normlib.results.study.study import Study
from normlib.results.tables.sheet import EMPTY, Cell, Line, Sheet

MOST_NAMED = 10
"""Of so many replicates each is named; the rest are counted."""


def irregular_runs(study: Study) -> Sheet | None:
    """The sheet, failed runs first; None where every run went through."""
    places, question = study.places, study.question
    reasons = study.runs["reason"].where(study.runs["reason"].notna(), "")
    runs = study.runs.assign(_arm=places.rows, _section=places.section, _column=places.columns, reason=reasons)
    runs = runs[runs["status"].isin([FAILED, DIVERGED, SKIPPED])]
    if not len(runs):
        return None
    lines = []
    for status in (FAILED, DIVERGED, SKIPPED):
        of_status = runs[runs["status"] == status]
        for (arm, section, reason), group in of_status.groupby(
            ["_arm", "_section", "reason"], dropna=False, sort=False
        ):
            columns = [label for label in places.column_labels if (group["_column"] == label).any()]
            cells = (arm, section or EMPTY, ", ".join(columns), _seeds(group), reason or EMPTY)
            number = Cell(str(len(group)), float(len(group)))
            lines.append(
                Line(str(arm), (Cell(status), *(Cell(str(cell)) for cell in cells[:3]), number, *map(Cell, cells[3:])))
            )
    return Sheet(
        name="irregular", title="Runs by status, arm and reason",
        header=("status", question.rows, "section", question.columns, "runs", "seeds", "reason"), lines=tuple(lines),
        notes=(
            f"failed: stopped with an error and has no figures. diverged: the {'loss was' if study.hashed else 'figure is'} no longer finite; the run counts "
            "with what the broken network scores. skipped: makes no sense and was not tried.",
        ), num_labels=4,
    )  # fmt: skip


def _seeds(group: pd.DataFrame) -> str:
    seeds = sorted(set(group["seed"].tolist()))
    numbered = all(isinstance(seed, int) for seed in seeds)  # elsewhere a seed may be a word
    if numbered and len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    rest = f" and {len(seeds) - MOST_NAMED} more" if len(seeds) > MOST_NAMED else ""
    return ", ".join(map(str, seeds[:MOST_NAMED])) + rest
