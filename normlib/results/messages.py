"""What a reader must be told beside the tables: broken files, mixed versions, runs that failed, diverged or are not shown.

In: the frame of the runs shown, and what was left out of it. Out: lines of text. Nothing is judged here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from normlib.results.store.frame import mixed_code
from normlib.results.store.record import DIVERGED, FAILED, RecordError

MOST_NAMED = 10
"""Of many problems of one kind so many are named, and the rest are counted."""


def messages_of(
    chosen: pd.DataFrame, number_of_runs: int, problems: Sequence[RecordError], superseded: int, no_figure: bool
) -> list[str]:
    """Warnings first, then the runs that failed or diverged with their reasons, then what is missing.

    `no_figure`: runs are compared, and there is nothing to draw of them.
    """
    messages = [f"left out: {problem}" for problem in problems[:MOST_NAMED]]
    if len(problems) > MOST_NAMED:
        messages.append(f"left out: {len(problems) - MOST_NAMED} more files that are no sound records")
    if superseded:
        messages.append(
            f"{runs(superseded)} left out: newer records of the same spec exist, made by another version of the code"
        )
    messages += [f"warning: {warning}" for warning in mixed_code(chosen)]
    for status, verb in ((FAILED, "failed"), (DIVERGED, "diverged")):
        given = chosen.loc[chosen["status"] == status, "reason"]
        reasons = Counter(given.where(given.notna(), "no reason is recorded"))
        if reasons:
            messages.append(f"{runs(sum(reasons.values()))} {verb}:")
            messages += [f"  {count} × {reason}" for reason, count in reasons.most_common(MOST_NAMED)]
            if len(reasons) > MOST_NAMED:
                messages.append(f"  and {len(reasons) - MOST_NAMED} other reasons")
    if not len(chosen):
        messages.append(f"no runs to show: none of {runs(number_of_runs)} is among those asked for")
    elif no_figure:
        messages.append("no figure: no run has been trained to its end")
    return messages


def runs(number: int) -> str:
    """A number of runs in words."""
    return f"{number} run" if number == 1 else f"{number} runs"
