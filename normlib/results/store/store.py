"""The store: one folder of records, one file per run, which any number of processes can share.

In: records. Out: files `<results_dir>/<experiment>/runs/<id>.json`, and everything that can be read back. If a process
is killed at any moment, finished records stay whole and nothing stays locked. Only the process that has claimed a run
writes its record. A final record is replaced only by a better one of the same run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from normlib.results.store import claims
from normlib.results.store.files import StoreError, remove_strays, temporary_path, unwritable, write_atomically
from normlib.results.store.reading import read_regular
from normlib.results.store.record import NewerRecordError, Record, RecordError

__all__ = ["BROKEN", "ClaimedRun", "Scan", "Store", "StoreError"]

BROKEN = "broken"
"""The status that `Store.statuses` gives to a file that is not a sound record."""


@dataclass(frozen=True)
class Scan:
    """Everything in a store: the sound records, by id, and one problem for each file that is not sound."""

    records: tuple[Record, ...]
    problems: tuple[RecordError, ...]


class Store:
    """The records of one experiment in one results folder. Reading needs no folder; writing makes it."""

    def __init__(self, results_dir: str | Path, experiment: str) -> None:
        self.experiment = experiment
        self.folder = Path(results_dir) / experiment
        self.runs = self.folder / "runs"
        self.weights = self.folder / "weights"
        self.checkpoints = self.folder / "checkpoints"
        self.locks = self.folder / ".locks"

    def path(self, run_id: str) -> Path:
        """The path of a run's record, which may not exist yet."""
        return self.runs / f"{run_id}.json"

    def prepare(self) -> None:
        """Make the folder and check that it can be written, before anything is trained. Raises StoreError if not."""
        probe = temporary_path(self.runs / "probe")
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise unwritable(self.runs, error) from error

    def write(self, record: Record) -> Record:
        """Claim the run and write its record. Returns the record that then stands.

        Raises StoreError if another process has the run.
        """
        with self.claim(record.id) as claimed:
            if claimed is None:
                raise StoreError(
                    f"run {record.id} is being trained by another process; wait for its record in {self.runs}"
                )
            return claimed.write(record)

    def read(self, run_id: str) -> Record | None:
        """The record of a run, or None if there is none. Raises RecordError if the file is not sound."""
        return self._read(self.path(run_id))

    def scan(self) -> Scan:
        """Read every record. A file that is not sound becomes a problem, and the others are still read."""
        records: list[Record] = []
        problems: list[RecordError] = []
        for path in self._files():
            try:
                record = self._read(path)
            except RecordError as problem:
                problems.append(problem)
            else:
                if record is not None:
                    records.append(record)
        return Scan(tuple(records), tuple(problems))

    def statuses(self) -> dict[str, str]:
        """The status by run id; BROKEN for a file that is not sound."""
        scan = self.scan()
        found = {record.id: record.status for record in scan.records}
        return found | {problem.path.stem: BROKEN for problem in scan.problems if problem.path is not None}

    def set_aside(self, run_id: str) -> Path | None:
        """Rename a broken record to `<id>.json.broken-N`. The run is made again, and nothing is lost."""
        path = self.path(run_id)
        for number in range(1, 1_000_000):
            aside = path.with_name(f"{path.name}.broken-{number}")
            if aside.exists():
                continue
            try:
                os.rename(path, aside)
            except FileNotFoundError:  # another process was faster
                return None
            except OSError as error:
                raise unwritable(path, error) from error
            return aside
        raise StoreError(f"no free name to set {path} aside; remove the files {path.name}.broken-*")

    @contextlib.contextmanager
    def claim(self, run_id: str) -> Iterator[ClaimedRun | None]:
        """`with store.claim(id) as claimed:` claims a run without waiting. None inside if another process has it.

        Read the record again after the claim, since another process may just have finished the run.
        """
        with claims.claim(self.locks, run_id) as ours:
            yield ClaimedRun(self, run_id) if ours else None

    def clean(self) -> None:
        """Remove what killed processes have left: temporary files and free lock files."""
        for folder in (self.runs, self.weights):
            remove_strays(folder)
        claims.clean(self.locks)

    def _files(self) -> list[Path]:
        try:
            with os.scandir(self.runs) as entries:
                names = sorted(e.name for e in entries if e.name.endswith(".json") and not e.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(
                f"records are read from {self.runs}, but it cannot be listed ({error.strerror}); permit that, "
                "or choose another place with results_dir=<folder>"
            ) from error
        return [self.runs / name for name in names]

    def _read(self, path: Path) -> Record | None:
        try:
            text = read_regular(path)
        except FileNotFoundError:
            return None
        record = Record.from_json(text, path)
        if record.id != path.stem:
            raise RecordError(f"holds the record of run {record.id}", "give the file the name of its run", path)
        return record


class ClaimedRun:
    """A run that only this process works on until the `with` block of its claim ends."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store, self.run_id = store, run_id

    def read(self) -> Record | None:
        """The record that stands. A file that is not sound is set aside first, so nothing is lost.

        Raises NewerRecordError if a newer normlib wrote the file, since it may be sound.
        """
        try:
            return self.store.read(self.run_id)
        except NewerRecordError:
            raise
        except RecordError:
            self.store.set_aside(self.run_id)
            return None

    def write(self, record: Record) -> Record:
        """Write a record atomically if `Record.replaces` allows it. Returns the record that then stands."""
        standing = self.read()
        if standing is not None and not record.replaces(standing):
            return standing
        path, text = self.store.path(record.id), record.to_json()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path.parent, error) from error
        write_atomically(path, text)
        return record
