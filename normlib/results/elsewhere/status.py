"""What became of each run, in the words of its table: finished, crashed, still running.

In: a table. Out: for each row a status of records, or "" where the run has not ended. An unknown word is refused.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from normlib.results.elsewhere.columns import bare
from normlib.results.elsewhere.frames import TableError
from normlib.results.store.quoting import short
from normlib.results.store.record import DIVERGED, DONE, FAILED, SKIPPED

UNFINISHED = ""
COLUMNS = ("status", "state")
"""The columns that tell it: `State` by W&B, `status` by MLflow."""
WORDS = {
    DONE: ("done", "finished", "completed", "complete", "succeeded", "success", "ok"),
    DIVERGED: ("diverged",),
    FAILED: (
        "failed", "crashed", "killed", "error", "errored", "preempted", "aborted", "cancelled", "canceled", "timeout", "oom",
        "interrupted", "terminated",
    ),
    SKIPPED: ("skipped",),
    UNFINISHED: ("running", "pending", "scheduled", "queued", "preempting", "starting"),
}  # fmt: skip
"""By status, the words for it."""
STATUS_OF = {word: status for status, words in WORDS.items() for word in words}


def status_column(table: pd.DataFrame, named: Collection[str]) -> str | None:
    """The column that tells what became of runs, if any; `named` are columns with another meaning."""
    found = [name for name in table.columns if name not in named and bare(name).lower() in COLUMNS]
    return min(found, key=lambda name: COLUMNS.index(bare(name).lower()), default=None)


def statuses(table: pd.DataFrame, column: str | None) -> list[str]:
    """The status of each row; without a column every run counts as finished. TableError for a word that is not known."""
    if column is None:
        return [DONE] * len(table)
    found = table[column].map(lambda word: STATUS_OF.get(str(word).strip().lower()))
    for row, word in table[column][found.isna()].items():
        known = "; ".join(f"{', '.join(words)} ({status or 'left out'})" for status, words in WORDS.items())
        raise TableError(
            f"the column {column} tells what became of runs, and row {row} has {short(word)}, which is none of the words for it: "
            f"{known}. Write one of them, or rename the column if it means something else"
        )
    return found.tolist()
