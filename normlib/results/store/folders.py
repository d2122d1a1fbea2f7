"""Reads results back from experiments' folders: folders in, records or one tidy frame out.

An experiment's folder is the one that holds `runs/`, such as results/gallery/small_batch. Several folders become one
set, as merge.py describes. This file never writes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from normlib.errors import NormlibError
from normlib.results.store.frame import frame, latest
from normlib.results.store.merge import merge
from normlib.results.store.places import user_path
from normlib.results.store.record import Record, RecordError
from normlib.results.store.store import Scan, Store

MOST_NAMED = 10
"""How many experiments below a folder a message names."""


class FolderError(NormlibError, ValueError):
    """A folder holds no results. The message states the rule, what came and what there is."""


@dataclass(frozen=True)
class Merged:
    """The records of one or several folders, each folder once.

    `problems`: one for each file that is not sound. `warnings`: what a reader must know about the merging.
    """

    folders: tuple[Path, ...]
    records: tuple[Record, ...]
    problems: tuple[RecordError, ...]
    warnings: tuple[str, ...]


def read_folders(folders: Iterable[str | os.PathLike[str]]) -> Merged:
    """Read the records of experiments' folders. A folder that is named twice is read once.

    Raises FolderError if it is not an experiment's folder or has no records, and PlaceError if no folder can have the
    name.
    """
    named = {path.resolve(): path for path in (user_path(folder, "a folder of results") for folder in folders)}
    if not named:
        raise FolderError("results are read from folders that hold runs/, and none was named")
    scans = {str(path): _scan(path) for path in named.values()}
    records, said = merge(scans)
    problems = tuple(problem for scan in scans.values() for problem in scan.problems)
    return Merged(tuple(named.values()), tuple(records), problems, tuple(said))


def load_results(*folders: str | os.PathLike[str]) -> pd.DataFrame:
    """One tidy frame of everything in one or several experiments' folders: one row per run, one column per fact.

    ``load_results("results/gallery/small_batch")``. Columns are settings, named as on the command line
    (`data.batch_size`), labels of config groups (`norm`) and results (`test.accuracy`, a fraction; `seconds_per_step`;
    `hashes.trunk`). If several records have the same spec, the newest has the row. A warning names whatever is left
    out, and machines that contradict each other. Raises FolderError for a folder that holds no results.
    """
    merged = read_folders(folders)
    kept, superseded = latest(merged.records)
    said = [*(f"left out: {problem}" for problem in merged.problems), *merged.warnings]
    if superseded:
        said.append(
            f"{superseded} of {len(merged.records)} runs left out: their code was edited, and they were trained again"
        )
    for warning in said:
        warnings.warn(warning, stacklevel=2)
    return frame(kept)


def _scan(path: Path) -> Scan:
    rule = "results are read from an experiment's folder, the one that holds runs/, and"
    try:
        if not path.is_dir():
            raise FolderError(f"{rule} {path} {'is a file' if path.exists() else 'does not exist'}")
        if not (path / "runs").is_dir():
            raise FolderError(f"{rule} {path} holds none; {_what_there_is(path)}")
    except OSError as error:
        raise FolderError(f"{rule} {path} cannot be read ({error.strerror}); permit that") from error
    scan = Store(path.parent, path.name).scan()
    if not scan.records and not scan.problems:
        raise FolderError(f"there are no records in {path / 'runs'}: make them with `normlib compare`")
    return scan


def _what_there_is(path: Path) -> str:
    """In words: the experiments near a folder that is not one."""
    if path.resolve().name == "runs":
        return f"name the folder above it, {path.parent}"
    below = sorted(str(runs.parent) for depth in ("*/runs", "*/*/runs") for runs in path.glob(depth))
    if below:
        return f"it holds experiments: {', '.join(below[:MOST_NAMED])}" + (", …" if len(below) > MOST_NAMED else "")
    entries = sorted(entry.name for entry in path.iterdir())[:MOST_NAMED]
    return f"it holds {', '.join(entries)}" if entries else "it is empty"
