"""Merges the records of several folders, from other machines and other days, into one set.

In: the scans of the folders. Out: the records, and a warning for every two folders that contradict each other.

Two records of one run agree if their status, spec, hashes and metrics do. They also agree if only one was trained,
since a failure elsewhere contradicts no figure. Then one is kept: a trained one first, then one that states its stage,
then the one whose looks go furthest, then the oldest. If any two disagree, every record gets the label of its machine, and nothing is dropped between
machines. Each machine then has its own section in the tables, since `machine` is a setting that varies. This file reads
and writes no folder.
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
"""How many run ids a message names."""


@dataclass(frozen=True)
class _Found:
    """A record with its folder and the machine that made it."""

    record: Record
    folder: str
    machine: str


def merge(scans: Mapping[str, Scan]) -> tuple[list[Record], list[str]]:
    """The records of the folders, by the folders' names, and what a reader must know.

    Without a contradiction each run has one record and no label is added. With one, each machine has its own record.
    """
    found = [each for folder, scan in scans.items() for each in _by_machine(folder, scan.records)]
    conflicts = _conflicts(found)
    # Machines with the same description that contradict each other are labelled by folder, too.
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
        warnings.append(f"{runs} failed or skipped in one folder and trained in another: the trained ones are shown")
    return records, warnings


def _rank(record: Record) -> tuple[bool, bool, int, str]:
    """Of the records of one run, the smallest is kept."""
    last_look = max(looks_in(record.labels.get(LOOKS)), default=0)
    return not record.trained, STAGE not in record.labels, -last_look, record.started


def _by_machine(folder: str, records: Iterable[Record]) -> list[_Found]:
    """The records of a folder with their machines. A skipped run has none and gets the folder's most common one."""
    machines = {record.id: _machine(record) for record in records}
    common = Counter(machine for machine in machines.values() if machine).most_common(1)
    usual = common[0][0] if common else "unknown machine"
    return [_Found(record, folder, machines[record.id] or usual) for record in records]


def _machine(record: Record) -> str:
    """Processor, accelerator and torch, or "" if the record does not say."""
    seen = record.environment
    known = [str(seen[key]) for key in ("cpu", "accelerator") if seen.get(key)]
    return " / ".join([*known, f"torch {seen['torch']}"] if seen.get("torch") else known)


def _label(each: _Found, alike: set[str]) -> str:
    return f"{each.machine} / {each.folder}" if each.machine in alike else each.machine


def _conflicts(found: Iterable[_Found]) -> list[tuple[_Found, _Found]]:
    """Every two records of one run that disagree."""
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
            f"{folder} ({machine}) and {other_folder} ({other_machine}) disagree on the {' and '.join(facts)} of {runs} "
            f"({ids}); both records are kept, and each machine has its own section"
        )
    return warnings
