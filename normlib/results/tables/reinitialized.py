"""Which of the trunk's parameters a norm initializes itself, as Fixup does, as a note below a table.

In: a study and one of its sections. Out: a note, or none.
"""

from __future__ import annotations

import json

from normlib.results.store.columns import REINITIALIZED
from normlib.results.study.study import Study

NAMES_SHOWN = 3
"""More names than that are counted; runs.csv and the records have them all."""


def notes_of_section(study: Study, section: str) -> list[str]:
    """The note of a section; the different lists of names among the runs of an arm are counted from the shortest to the longest."""
    if REINITIALIZED not in study.runs:
        return []
    runs, rows = study.runs[REINITIALIZED].dropna(), study.places.rows
    runs = runs[(study.places.section[runs.index] == section).to_numpy()]
    told = {}
    for arm, own in runs.groupby(rows[runs.index]):
        lists = sorted({tuple(json.loads(text)) for text in own}, key=lambda names: (-len(names), names))
        longest, least = lists[0], len(lists[-1])
        if longest:
            count = f"{len(longest)}" if least == len(longest) else f"{least} to {len(longest)}"
            shown = ", ".join(longest[:NAMES_SHOWN]) + (", …" if len(longest) > NAMES_SHOWN else "")
            told[str(arm)] = f"{arm} ({count} trunk parameter{'' if count == '1' else 's'}: {shown})"
    arms = [told[arm] for arm in study.arms(section) if arm in told]
    if not arms:
        return []
    return [
        f"Reinitialized by the norm: {'; '.join(arms)}. All other trunk parameters start from the seed, alike in every row."
    ]
