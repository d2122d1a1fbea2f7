"""What a comparison starts from, and the folder of its records.

In: the settings that were asked for, or the commands in records. Out: the experiment that they start from, and their
changes to it. A subset of an experiment's own arms and conditions, with any seeds, is no change. Composes and reads no
file.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from normlib.experiments.control import CONTROL_OVERRIDE
from normlib.experiments.settings import SCALARS, SECTIONS, USER_SECTIONS
from normlib.results.store.columns import SEED
from normlib.results.store.quoting import cut
from normlib.results.store.record import Record
from normlib.results.study.axes import same_text
from normlib.results.study.tuning import TUNING

COMPARISON = "comparison"
"""The folder of comparisons that have no name and change the experiment they start from."""
LONGEST_CHANGES = 300
"""Characters of changes that a note shows; a glob may stand for many norms."""

KEYS = (*SECTIONS, *USER_SECTIONS, *SCALARS)

Asked = Mapping[str, Sequence[str]]
"""By key, the values that it takes in turn, as text."""


def changes(asked: Asked, axes: Asked) -> list[str]:
    """The settings of runs that differ from an experiment with such axes, as overrides, with choices of groups first.

    Seeds are no change.
    """
    changed = []
    for key, values in sorted(asked.items(), key=lambda item: ("." in item[0], _rank(item[0]), item[0])):
        section = _section(key)
        known = {_plain(value) for value in axes.get(key, ())}
        part = key in axes and all(_plain(value) in known for value in values)
        if section in KEYS and key != SEED and not part:
            changed.append(f"{key}={','.join(values)}")
    return changed


def describe_basis(experiment: str | None, folder: str, changed: Sequence[str]) -> str | None:
    """What a reader must know about a comparison that differs from the experiment. None if it does not differ."""
    if experiment is None or (not changed and folder == experiment):
        return None
    return f"based on {experiment}" + (f": {cut(' '.join(changed), LONGEST_CHANGES)}" if changed else "")


def asked_by(records: Iterable[Record]) -> dict[str, list[str]]:
    """What the commands in records ask for, each value once, without what the control and tuning add."""
    asked: dict[str, dict[str, None]] = {}
    for record in records:
        for word in _words(record.command):
            key, sign, value = word.partition("=")
            added = word == CONTROL_OVERRIDE or key == record.labels.get(TUNING)
            if sign and not key.startswith("-") and not added:
                asked.setdefault(key.lstrip("+~"), {})[value] = None
    return {key: list(values) for key, values in asked.items()}


def experiment_of(records: Sequence[Record]) -> str | None:
    """The experiment that the newest of the records started from, or None."""
    newest = max(records, key=lambda record: record.started, default=None)
    return asked_by([newest]).get("experiment", [None])[-1] if newest is not None else None


def _words(command: str) -> list[str]:
    """The words of a recorded command. Empty if a shell could not read it."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _section(key: str) -> str:
    return key.partition(".")[0].partition("/")[0]


def _rank(key: str) -> int:
    """The position of a key's section among all sections."""
    return KEYS.index(_section(key)) if _section(key) in KEYS else len(KEYS)


def _plain(value: str) -> str:
    return same_text(value.strip("'\""))
