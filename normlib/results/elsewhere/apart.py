"""Whether a table tells its runs apart: one finished run for each arm, condition and seed, and nothing else that varies.

In: the table, the frame made of it, and the columns that were named. Out: a TableError, or sentences for the reader.
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
"""A message names so many columns, rows or seeds."""


def check_apart(table: pd.DataFrame, frame: pd.DataFrame, named: Sequence[str]) -> None:
    """TableError for two finished runs of one arm, condition and seed; it names the columns that would tell them apart."""
    keys = settings(frame)
    trained = frame[frame["status"].isin(TRAINED)]
    twice = trained[trained.duplicated(keys, keep=False)]
    if not len(twice):
        return
    groups = twice.groupby(keys, sort=False, dropna=False)
    count, number = groups.ngroups, groups.ngroup().to_numpy()
    first = twice[number == 0]
    rows = table.iloc[twice.index].astype(str).groupby(number).nunique()
    varying = [name for name in _unnamed_settings(table, named) if rows[name].max() > 1]
    told = "no other column tells them apart: keep one of them"
    if varying:
        told = (
            f"columns that vary there and are not named: {listed(varying, MOST_NAMED)}; add what is a condition with --columns, or "
            "keep the rows of one value"
        )
    raise TableError(
        f"there is one finished run for each arm, condition and seed, and {count} {'has' if count == 1 else 'have'} several, such as "
        f"{_place(keys, first.iloc[0])} ({listed(first['id'], MOST_NAMED)}); {told}"
    )


def messages_on_settings(table: pd.DataFrame, named: Sequence[str]) -> list[str]:
    """A warning on columns that vary and were not named, since nothing in the figures shows what they do."""
    others = _unnamed_settings(table, named)
    if not others:
        return []
    return [
        f"warning: columns that vary and are not named: {listed(others, MOST_NAMED)}; name those that are settings with --columns, or "
        "arms may differ in more than they say"
    ]


def messages_on_seeds(frame: pd.DataFrame, question: Question) -> list[str]:
    """Which seeds an arm has no figure for: they count in the means of the others, but in no difference to that arm.

    Arms that share no two seeds with the baseline are compared as two samples, and their tables say so.
    """
    keys = [name for name in settings(frame) if name not in (question.rows, SEED)]
    trained = frame[frame["status"].isin(TRAINED) & frame[question.value].notna()]
    found = []
    for _, runs in trained.groupby(keys, sort=False, dropna=False):
        seeds = {as_text(arm): set(own[SEED]) for arm, own in runs.groupby(question.rows, sort=False)}
        theirs = seeds.get(question.baseline, set())
        paired = {arm: own for arm, own in seeds.items() if len(own & theirs) > 1}
        every = set().union(*paired.values())
        found += [
            f"{arm} at {_place(keys, runs.iloc[0])} lacks seed {listed(sorted(every - own), MOST_NAMED)}"
            for arm, own in paired.items()
            if every - own
        ]
    told = listed(found, MOST_NAMED, between="; ")
    return [
        f"a seed without a figure for an arm or for {question.baseline} is left out of their difference: {told}"
    ] * bool(told)


def _place(keys: Sequence[str], run: pd.Series) -> str:
    return ", ".join(f"{key}={as_text(run[key])}" for key in keys)


def _unnamed_settings(table: pd.DataFrame, named: Sequence[str]) -> list[str]:
    """The columns that nobody named and that may be settings."""
    return [
        name
        for name in table.columns
        if name not in named and may_be_setting(table, name) and known_metric(bare(name)) is None
    ]
