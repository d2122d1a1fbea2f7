"""Which column of a table a user means, and what the exports of W&B and MLflow put before its name.

In: a table and a name as it was typed. Out: the name of a column, or a TableError with the closest names. `norm` finds
`config.norm` (W&B) and `params.norm` (MLflow), `dice` finds `summary.dice` and `metrics.dice`. This file reads no value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import pandas as pd

from normlib.naming import listed
from normlib.results.elsewhere.frames import TableError
from normlib.results.store.columns import MACHINE, SEED, is_setting
from normlib.results.study.tuning import STAGE, TUNING

PREFIXES = ("config.", "params.", "hparams.", "summary.", "summary_metrics.", "metrics.")
"""What stands before names in exports: W&B says config and summary, MLflow params and metrics."""
SETTING_PREFIXES, FIGURE_PREFIXES = PREFIXES[:3], PREFIXES[3:]
BOOKKEEPING = re.compile(
    r"(column 1|index|id|(run|experiment|parent)[_ ]?(id|uuid|name)|name|display_?name|url|path|notes?|tags?|user|entity|project|"
    r"group|job_?type|sweep|host(name)?|created(_?at)?|updated(_?at)?|heartbeat_?at|runtime|duration|"
    r"(start|end)(ed)?(_?(time|at))?|artifact_uri|time(stamp)?|date|commit|command|reason|state|status|_.*|tags\..*|summary\._.*)",
    re.IGNORECASE,
)
"""Columns that tell runs apart and are no settings: what tracking tools write of every run."""
MOST_NAMES = 12
"""Of so many columns a message gives the names."""
TAKEN = (SEED, MACHINE, STAGE, TUNING)
"""Names that mean something of their own in the frame of runs."""


def bare(name: str) -> str:
    """The name of a column without what an export put before it."""
    for prefix in PREFIXES:
        if name.startswith(prefix) and name != prefix:
            return name.removeprefix(prefix)
    return name


def column_of(table: pd.DataFrame, typed: str, flag: str, prefixes: Sequence[str] = PREFIXES) -> str:
    """The column that was typed behind `flag`, with its prefix or without. TableError for none, or several.

    `prefixes` are those that count here: a metric is no setting.
    """
    names = [str(name) for name in table.columns]
    if typed in names:
        return typed
    found = [name for prefix in prefixes for name in (prefix + typed,) if name in names]
    if len(found) == 1:
        return found[0]
    if found:
        raise TableError(f"{flag} {typed} can be {' or '.join(found)}; write the whole name")
    return _refused(names, typed, flag)


def setting_names(columns: Sequence[str]) -> dict[str, str]:
    """By column, the name that it has in the frame of runs: without its prefix, and never that of a result."""
    made: dict[str, str] = {}
    for column in columns:
        name = bare(column)
        free = name not in TAKEN and name not in made.values() and is_setting(name)
        made[column] = name if free else column if column != name else f"config.{name}"
    return made


def may_be_setting(table: pd.DataFrame, column: str) -> bool:
    """Whether a column that nobody named may be a setting: it repeats, and no tracking tool writes it of itself."""
    if column.startswith(FIGURE_PREFIXES) or (
        BOOKKEEPING.fullmatch(bare(column)) and not column.startswith(SETTING_PREFIXES)
    ):
        return False
    distinct = table[column].astype(str).nunique()
    return distinct > 1 and (column.startswith(SETTING_PREFIXES) or distinct <= len(table) / 2)


def _refused(names: Sequence[str], typed: str, flag: str) -> str:
    by_bare = {bare(name).lower(): name for name in names} | {name.lower(): name for name in names}
    close = difflib.get_close_matches(typed.lower(), by_bare, n=3)
    close += [name for name in by_bare if typed.lower() in name and name not in close][:3]
    found = list(dict.fromkeys(by_bare[name] for name in close))
    hint = f"did you mean {' or '.join(found)}? " if found else ""
    raise TableError(
        f"{flag} names a column of the table, and {typed!r} is none: {hint}There are {listed(names, MOST_NAMES)}"
    )
