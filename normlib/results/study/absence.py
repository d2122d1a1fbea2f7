"""Why there is no figure: what kept an arm's runs from having one, and arms from being compared seed by seed.

In: a condition and an arm. Out: a few words, empty where nothing is amiss. This file computes no figure.
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
    """Why an arm that has no figure in a condition has none: no run, skipped, failed 3/12, no figure."""
    if arm not in condition.arms:
        return "no run"
    status = condition.runs["status"].to_numpy()[condition.positions[arm]]
    if (status == SKIPPED).any():
        return "skipped"
    failed = int((status == FAILED).sum())
    return f"failed {failed}/{len(status)}" if failed else "no figure"


def why_unpaired(study: Study, condition: Condition, arm: str) -> str:
    """Why an arm cannot be held against the baseline replicate by replicate; empty where it can.

    Arms of norms in a verified study are paired (`identity.check_paired`). Of other rows, and of arms that each have a
    value of their own for what was tuned, the hashes tell. Runs without hashes are paired by their seeds, on trust.
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
