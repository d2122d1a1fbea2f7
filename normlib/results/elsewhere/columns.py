"""Which column of a table a user means, with or without what W&B and MLflow put before names.

In: a table and a name as it was typed. Out: the name of a column, or a TableError with the closest names. `norm` finds
`config.norm` (W&B) and `params.norm` (MLflow), `dice` finds `summary.dice` and `metrics.dice`. No value is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from normlib.naming import unknown_name
from normlib.results.elsewhere.frames import TableError
from normlib.results.store.columns import LOOKS, MACHINE, SEED, is_setting
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
"""A message names so many columns of a table."""
TAKEN = (SEED, MACHINE, STAGE, TUNING, LOOKS)
"""Names that mean something of their own in the frame of runs."""


def bare(name: str) -> str:
    """The name of a column without what an export put before it."""
    return next((name.removeprefix(each) for each in PREFIXES if name.startswith(each) and name != each), name)


def column_of(table: pd.DataFrame, typed: str, flag: str, prefixes: tuple[str, ...]) -> str:
    """The column that was typed behind `flag`, with its prefix or without one. TableError for none, or several.

    `prefixes` are those that count here: a metric is no setting.
    """
    names = [str(name) for name in table.columns]
    if typed in names:
        return typed
    found = [prefix + typed for prefix in prefixes if prefix + typed in names]
    if len(found) == 1:
        return found[0]
    if found:
        raise TableError(f"{flag} {typed} can be {' or '.join(found)}; write the whole name")
    known = {bare(name) for name in names if name.startswith(prefixes) or not name.startswith(PREFIXES)}
    raise TableError(f"{flag}: {unknown_name('column', typed, known)}")


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
    named_setting = column.startswith(SETTING_PREFIXES)
    if column.startswith(FIGURE_PREFIXES) or (BOOKKEEPING.fullmatch(bare(column)) and not named_setting):
        return False
    distinct = table[column].astype(str).nunique()
    return distinct > 1 and (named_setting or distinct <= len(table) / 2)
