"""The note below a table that says how many runs diverged, and what they count as there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from normlib.results.store.record import DIVERGED
from normlib.results.study.study import Condition

AS_SCORED = "they count with what the broken network scores, where that is a number"


def divergence_notes(conditions: Iterable[Condition], counted: str = AS_SCORED) -> tuple[str, ...]:
    """One note, such as "Diverged: none 3/20 trained runs; ...", by arm; empty where no run diverged."""
    diverged: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for condition in conditions:
        status = condition.runs["status"].to_numpy()
        for arm in condition.arms:
            mine = status[condition.trained(arm)]
            diverged[arm] += int((mine == DIVERGED).sum())
            trained[arm] += len(mine)
    shares = [f"{arm} {broken}/{trained[arm]}" for arm, broken in diverged.items() if broken]
    return (f"Diverged: {', '.join(shares)} trained runs; {counted}.",) if shares else ()
