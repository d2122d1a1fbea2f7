"""Which of the trunk's parameters a norm has started anew, as Fixup does, and the note that tells.

In: runs and the rows of a table that they stand in. Out: names by row, and sentences. This file judges nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from normlib.results.store.columns import REINITIALIZED
from normlib.results.study.study import Study

NAMES_SHOWN = 3
"""More names than that are counted; runs.csv and the records have them all."""


def reinitialized_by_row(
    runs: pd.DataFrame, row: pd.Series, rows: Sequence[str]
) -> dict[str, tuple[tuple[str, ...], ...]]:
    """By row, the different lists of names among its runs, the longest first; rows that start nothing anew are left out."""
    if REINITIALIZED not in runs:
        return {}
    known = runs[REINITIALIZED].dropna()
    lists = {
        str(arm): sorted({tuple(json.loads(text)) for text in own}, key=lambda names: (-len(names), names))
        for arm, own in known.groupby(row[known.index])
    }
    return {arm: tuple(lists[arm]) for arm in rows if lists.get(arm)}


def notes(by_row: Mapping[str, tuple[tuple[str, ...], ...]]) -> list[str]:
    """The note below a table, if there is anything to tell."""
    if not by_row:
        return []
    arms = "; ".join(f"{arm} ({_counted(lists)})" for arm, lists in by_row.items())
    return [f"Started anew by the norm: {arms}. All else of the trunk starts as the seed makes it, alike in every row."]


def notes_of_section(study: Study, section: str) -> list[str]:
    """The same for one section of a study."""
    inside = (study.places.section == section).to_numpy()
    return notes(reinitialized_by_row(study.runs[inside], study.places.rows[inside], study.arms(section)))


def _counted(lists: tuple[tuple[str, ...], ...]) -> str:
    longest, least = lists[0], len(lists[-1])
    count = f"{len(longest)}" if least == len(longest) else f"{least} to {len(longest)}"
    shown = ", ".join(longest[:NAMES_SHOWN]) + (", …" if len(longest) > NAMES_SHOWN else "")
    return f"{count} trunk parameter{'' if count == '1' else 's'}: {shown}"
