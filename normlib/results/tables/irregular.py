"""The runs that failed, diverged or were skipped, with their reasons, for the page. No run is hidden, and none is judged.

In: a study of all runs of a report, those of trials too, whose stage is then part of the section. Out: one table, a line for
each arm, section and reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from normlib.naming import listed
from normlib.results.store.record import DIVERGED, FAILED, SKIPPED
from normlib.results.study.study import Study
from normlib.results.tables.table import Column, Table

MOST_NAMED = 10
"""Of so many replicates each is named; the rest are counted."""


@dataclass(frozen=True)
class Irregular:
    """The runs of one status that share arm, section and reason."""

    status: str
    arm: str
    section: str
    columns: str
    runs: int
    seeds: str
    reason: str


def irregular_runs(study: Study) -> Table | None:
    """The table, failed runs first; None where every run went through."""
    places, question, rows = study.places, study.question, []
    reasons = study.runs["reason"].where(study.runs["reason"].notna(), "")
    runs = study.runs.assign(_arm=places.rows, _section=places.section, _column=places.columns, reason=reasons)
    for status in (FAILED, DIVERGED, SKIPPED):
        of_status = runs[runs["status"] == status]
        for (arm, section, reason), group in of_status.groupby(
            ["_arm", "_section", "reason"], dropna=False, sort=False
        ):
            columns = [label for label in places.column_labels if (group["_column"] == label).any()]
            rows.append(Irregular(status, str(arm), section, ", ".join(columns), len(group), _seeds(group), reason))
    if not rows:
        return None
    broken = "loss was" if study.hashed else "figure is"
    return Table(
        name="irregular",
        title="Runs by status, arm and reason",
        columns=(
            Column("status", "status", label=True),
            Column(question.rows, "arm", label=True),
            Column("section", "section", label=True),
            Column(question.columns, "columns", label=True),
            Column("runs", "runs"),
            Column("seeds", "seeds"),
            Column("reason", "reason"),
        ),
        rows=rows,
        notes=(
            f"failed: stopped with an error and has no figures. diverged: the {broken} no longer finite; the run counts with "
            "what the broken network scores. skipped: makes no sense and was not tried.",
        ),
    )


def _seeds(group: pd.DataFrame) -> str:
    seeds = sorted(set(group["seed"].tolist()))
    numbered = all(isinstance(seed, int) for seed in seeds)  # elsewhere a seed may be a word
    if numbered and len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return listed(seeds, MOST_NAMED)
