"""Whether a table tells its runs apart: one finished run for each arm, condition and seed, and nothing else that varies.

In: the table, the frame made of it, and the columns that were named. Out: nothing, a TableError, or sentences for the
reader. This file changes no row.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from normlib.naming import listed
from normlib.results.elsewhere.columns import bare, may_be_setting
from normlib.results.elsewhere.frames import TableError
from normlib.results.store.columns import SEED
from normlib.results.store.frame import settings
from normlib.results.store.record import TRAINED
from normlib.results.study.axes import as_text
from normlib.results.study.question import Question
from normlib.tasks.metric import known_metric

MOST_NAMED = 8
"""Of many places, or columns, so many are named."""


def check_apart(table: pd.DataFrame, frame: pd.DataFrame, named: Sequence[str]) -> None:
    """Refuse two finished runs of one arm, condition and seed, and name the columns that would tell them apart. TableError."""
    keys = settings(frame)
    trained = frame[frame["status"].isin(TRAINED)]
    twice = trained[trained.duplicated(keys, keep=False)]
    if not len(twice):
        return
    groups = twice.groupby(keys, sort=False, dropna=False).indices
    where, rows = next(iter(groups.items()))
    place = ", ".join(f"{key}={as_text(value)}" for key, value in zip(keys, where, strict=True))
    lines = table.loc[[table.index[number] for number in twice.index]]
    group = twice.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    varying = [
        name for name in _unnamed_settings(table, named) if lines[name].astype(str).groupby(group).nunique().max() > 1
    ]
    if varying:
        told = f"columns that vary there and are not named: {', '.join(varying[:MOST_NAMED])}; add what is a condition with --columns, "
        told += "or keep the rows of one value"
    else:
        told = "no other column tells them apart: keep one of them"
    numbers = ", ".join(twice.iloc[rows]["id"].head(MOST_NAMED))
    raise TableError(
        f"there is one finished run for each arm, condition and seed, and {len(groups)} {'has' if len(groups) == 1 else 'have'} several, "
        f"such as {place} ({numbers}); {told}"
    )


def messages_on_settings(table: pd.DataFrame, named: Sequence[str]) -> list[str]:
    """A warning on columns that vary and were not named: what they do to the figures is not taken apart."""
    others = _unnamed_settings(table, named)
    if not others:
        return []
    names = listed(others, MOST_NAMED)
    one = len(others) == 1
    return [
        f"warning: the column{'' if one else 's'} {names} {'varies' if one else 'vary'} and {'is' if one else 'are'} not named; "
        f"if {'it is a setting' if one else 'they are settings'}, name {'it' if one else 'them'} with --columns, or arms may differ in more than they say"
    ]


def messages_on_seeds(frame: pd.DataFrame, question: Question) -> list[str]:
    """Which seeds some arm has no figure for: they are in the means of the others, and in no difference to that arm.

    Arms that share no two seeds with the baseline are compared as two samples, and their tables say so.
    """
    keys = [name for name in settings(frame) if name not in (question.rows, SEED)]
    trained = frame[frame["status"].isin(TRAINED) & frame[question.value].notna()]
    found = []
    for where, runs in trained.groupby(keys, sort=False, dropna=False):
        seeds = {as_text(arm): set(own[SEED]) for arm, own in runs.groupby(question.rows, sort=False)}
        theirs = seeds.get(question.baseline, set())
        paired = {arm: own for arm, own in seeds.items() if len(own & theirs) > 1}
        place = ", ".join(f"{name}={as_text(value)}" for name, value in zip(keys, where, strict=True))
        for arm, own in paired.items():
            if missing := sorted(set().union(*paired.values()) - own):
                seeds_named = ", ".join(map(str, missing[:MOST_NAMED])) + (", …" if len(missing) > MOST_NAMED else "")
                found.append(f"{arm} at {place} lacks seed {seeds_named}")
    if not found:
        return []
    told = "; ".join(found[:MOST_NAMED]) + (f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else "")
    return [f"a seed that an arm or {question.baseline} has no figure for is left out of their difference: {told}"]


def _unnamed_settings(table: pd.DataFrame, named: Sequence[str]) -> list[str]:
    """The columns that nobody named and that may be settings."""
    return [
        name
        for name in table.columns
        if name not in named and may_be_setting(table, name) and known_metric(bare(name)) is None
    ]
