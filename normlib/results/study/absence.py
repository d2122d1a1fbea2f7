"""Says why a figure is missing, or why arms cannot be compared seed by seed.

In: a condition and an arm. Out: a few words, empty if nothing is missing. This file computes no figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from normlib.results.store.columns import SEED
from normlib.results.store.record import FAILED, SKIPPED
from normlib.results.study.axes import SPLIT_SEED
from normlib.results.study.identity import NORM, pairing

if TYPE_CHECKING:
    from normlib.results.study.study import Condition, Study


def why_none(condition: Condition, arm: str) -> str:
    """Why an arm has no figure in a condition: no run, skipped, failed 3/12, no figure."""
    if arm not in condition.arms:
        return "no run"
    status = condition.runs["status"].to_numpy()[condition.positions[arm]]
    if (status == SKIPPED).any():
        return "skipped"
    failed = int((status == FAILED).sum())
    return f"failed {failed}/{len(status)}" if failed else "no figure"


def why_unpaired(study: Study, condition: Condition, arm: str) -> str:
    """Why an arm cannot be compared with the baseline replicate by replicate. Empty if it can.

    In a verified study, arms of norms are paired (`identity.check_paired`). For other rows, and for arms that each have
    their own tuned value, the hashes decide. Runs without hashes are paired by their seeds, on trust.
    """
    if not study.hashed:
        return ""
    if study.verified and study.question.rows.partition(".")[0] == NORM:
        return ""
    keys = [SEED] if SPLIT_SEED not in condition.runs else [SEED, SPLIT_SEED]
    mine, theirs = (
        condition.runs.iloc[condition.trained(label)].set_index(keys) for label in (arm, study.question.baseline)
    )
    return pairing(mine, theirs)
