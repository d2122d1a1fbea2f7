"""What became of each run, in the words of its table: finished, crashed, still running.

In: a table. Out: for each row one of the statuses of records, or "" where the run is not at its end. This file never
guesses: a word that it does not know is refused.
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
"""How columns are called that tell it: `State` by W&B, `status` by MLflow."""
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
    """The column that tells what became of runs, if there is one; `named` are columns that mean something else."""
    found = [name for name in table.columns if name not in named and bare(name).lower() in COLUMNS]
    return min(found, key=lambda name: COLUMNS.index(bare(name).lower()), default=None)


def statuses(table: pd.DataFrame, column: str | None) -> list[str]:
    """The status of each row; without a column every run counts as finished. TableError for a word that is not known."""
    if column is None:
        return [DONE] * len(table)
    made = []
    for number, word in zip(table.index, table[column], strict=True):
        status = STATUS_OF.get(str(word).strip().lower()) if word is not None else None
        if status is None:
            known = "; ".join(f"{', '.join(words)} ({status or 'left out'})" for status, words in WORDS.items())
            raise TableError(
                f"the column {column} says what became of runs, and row {number} has {short(word)}, which is none of the words "
                f"for it: {known}. Write one of them, or call the column something else if it tells another thing"
            )
        made.append(status)
    return made
