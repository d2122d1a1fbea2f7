"""A bench on disk: `<results_dir>/bench/runs/<id>.json`, and the tables and the figure of exactly those.

In come `Timing`s, out go files, each replaced whole. What an older bench left goes: a table speaks of one machine at one time.
What no bench wrote stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from normlib.results.plots.static import KINDS, image
from normlib.results.render import FILES
from normlib.results.store.files import unwritable, write_atomically
from normlib.results.store.placing import check_place, place
from normlib.results.store.reading import read_regular
from normlib.results.store.record import RecordError
from normlib.results.tables.model import Table
from normlib.timings.figure import draw
from normlib.timings.record import OlderTimingError, Timing
from normlib.timings.tables import entries, tables

NAME = "bench"
TABLE, FIGURE = "tables/cost", "figures/cost"


class BenchFolder:
    """The place of a bench's files."""

    def __init__(self, results_dir: str | Path, overwrite: bool = False) -> None:
        self.path = Path(results_dir) / NAME
        self.runs = self.path / "runs"
        self.overwrite = overwrite

    def prepare(self) -> None:
        """Make the folder, before anything is timed. StoreError where it cannot be, or where others' files are in the way."""
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.runs, error) from error
        names = [*(f"{TABLE}{ending}" for ending in FILES), *(f"{FIGURE}.{kind}" for kind in KINDS)]
        check_place(self.path, names, self.overwrite)

    def write(self, timing: Timing) -> Path:
        """Write a timing, in the place of an older one of the same."""
        path = self.runs / f"{timing.id}.json"
        write_atomically(path, timing.to_json())
        return path

    def read(self) -> list[Timing]:
        """Every timing that is there. RecordError names a file that is not sound."""
        return [Timing.from_json(read_regular(path), path) for path in sorted(self.runs.glob("*.json"))]

    def keep(self, timings: Sequence[Timing]) -> None:
        """Remove the timings of other benches, those of older formats too; a file that is no sound timing is somebody's, and stays."""
        ids = {timing.id for timing in timings}
        for path in self.runs.glob("*.json"):
            if path.stem not in ids:
                with contextlib.suppress(RecordError, IsADirectoryError):
                    with contextlib.suppress(OlderTimingError):
                        Timing.from_json(path.read_bytes(), path)
                    path.unlink(missing_ok=True)

    def report(self, timings: Sequence[Timing]) -> tuple[list[Table], list[Path]]:
        """Write the tables and the figure; the tables, for the terminal, and the files."""
        found, rows = tables(timings), [entries(timings)]
        contents: dict[str, str | bytes] = {
            f"{TABLE}{ending}": render(rows if ending == ".csv" else found) for ending, render in FILES.items()
        }
        figure = draw(timings)
        if figure is not None:
            contents |= {f"{FIGURE}.{kind}": image(figure, kind) for kind in KINDS}
        return found, place(self.path, contents, self.overwrite)
