"""Merging: the records of several folders, from other machines and other days, become one set.

In: what the scans of the folders found. Out: the records, and a warning for every two folders that contradict each other.
Records of one run agree when their status, spec, hashes and metrics do, or when only one of them was trained: a failure
elsewhere contradicts no figure. Then one is kept: a trained one first, then one that says its stage, then the one made for
the looks that go furthest, then the oldest. Where
any two do not agree, every record is labelled by the machine that made it, and nothing is dropped between machines: each has
its own section in the tables, since `machine` is then a setting that varies. This file never reads or writes a folder.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from normlib.results.store.columns import LOOKS, MACHINE
from normlib.results.store.looks import looks_in
from normlib.results.store.record import FACTS, Record
from normlib.results.store.store import Scan
from normlib.results.study.tuning import STAGE

MOST_NAMED = 3
"""Of many run ids so many are named."""


@dataclass(frozen=True)
class _Found:
    """A record with the folder that it lies in and the machine that made it."""

    record: Record
    folder: str
    machine: str


def merge(scans: Mapping[str, Scan]) -> tuple[list[Record], list[str]]:
    """The records of the folders, by the folders' names; and what a reader must be told.

    Without a contradiction each run has one record and no label is added. With one, each machine has its own.
    """
    found = [each for folder, scan in scans.items() for each in _by_machine(folder, scan.records)]
    conflicts = _conflicts(found)
    # Machines that read alike and contradict each other are told apart by the folder.
    alike = {one.machine for one, other in conflicts if one.machine == other.machine}
    labelled = [(each.record, _label(each, alike) if conflicts else "") for each in found]
    kept: dict[tuple[str, str], Record] = {}
    for record, label in labelled:
        rival = kept.get((record.id, label))
        if rival is None or _rank(record) < _rank(rival):
            kept[record.id, label] = record
    records = [
        dataclasses.replace(record, labels={**record.labels, MACHINE: label}) if label else record
        for (_, label), record in kept.items()
    ]
    warnings = _warnings(conflicts, alike)
    replaced = sum(not record.trained and kept[record.id, label].trained for record, label in labelled)
    if replaced:
        runs = "1 run" if replaced == 1 else f"{replaced} runs"
        warnings.append(f"{runs} failed or skipped in one folder and trained in another: the trained are shown")
    return records, warnings


def _rank(record: Record) -> tuple[bool, bool, int, str]:
    """Of records of one run the smallest is kept."""
    last_look = max(looks_in(record.labels.get(LOOKS)), default=0)
    return not record.trained, STAGE not in record.labels, -last_look, record.started


def _by_machine(folder: str, records: Iterable[Record]) -> list[_Found]:
    """The records of a folder with their machines; a skipped run saw none and counts to the folder's most common one."""
    machines = {record.id: _machine(record) for record in records}
    common = Counter(machine for machine in machines.values() if machine).most_common(1)
    usual = common[0][0] if common else "unknown machine"
    return [_Found(record, folder, machines[record.id] or usual) for record in records]


def _machine(record: Record) -> str:
    """Processor, accelerator and torch, or "" where the record does not tell."""
    seen = record.environment
    known = [str(seen[key]) for key in ("cpu", "accelerator") if seen.get(key)]
    return " / ".join([*known, f"torch {seen['torch']}"] if seen.get("torch") else known)


def _label(each: _Found, alike: set[str]) -> str:
    return f"{each.machine} / {each.folder}" if each.machine in alike else each.machine


def _conflicts(found: Iterable[_Found]) -> list[tuple[_Found, _Found]]:
    """Every two records of one run that do not agree."""
    by_id: dict[str, list[_Found]] = {}
    for each in found:
        by_id.setdefault(each.record.id, []).append(each)
    pairs = (pair for same_run in by_id.values() for pair in itertools.combinations(same_run, 2))
    return [(one, other) for one, other in pairs if _differing(one.record, other.record)]


def _differing(one: Record, other: Record) -> list[str]:
    return one.differing(other) if one.trained == other.trained else []


def _warnings(conflicts: Iterable[tuple[_Found, _Found]], alike: set[str]) -> list[str]:
    """One warning for every two folders and machines that contradict each other."""
    by_sides: dict[tuple[str, ...], list[tuple[Record, Record]]] = {}
    for one, other in conflicts:
        sides = (one.folder, _label(one, alike), other.folder, _label(other, alike))
        by_sides.setdefault(sides, []).append((one.record, other.record))
    warnings = []
    for (folder, machine, other_folder, other_machine), pairs in by_sides.items():
        facts = [fact for fact in FACTS if any(fact in _differing(*pair) for pair in pairs)]
        ids = ", ".join(record.id for record, _ in pairs[:MOST_NAMED]) + (", …" if len(pairs) > MOST_NAMED else "")
        runs = "1 run" if len(pairs) == 1 else f"{len(pairs)} runs"
        warnings.append(
            f"{folder} ({machine}) and {other_folder} ({other_machine}) do not agree on the {' and '.join(facts)} of {runs} "
            f"({ids}); both records are kept, and each machine has a section of its own"
        )
    return warnings
