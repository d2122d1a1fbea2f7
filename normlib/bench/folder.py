"""A bench on disk: `<results_dir>/bench/runs/<id>.json`, and the tables and the figure of exactly those.

In come `Timing`s, out go files, each replaced whole. What an older bench left goes: a table speaks of one machine at one time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from normlib.bench.figure import draw
from normlib.bench.record import Timing
from normlib.bench.sheets import sheets
from normlib.results.files import unwritable, write_atomically
from normlib.results.reading import read_regular
from normlib.results.sheet import Sheet
from normlib.results.writers import latex, markdown, tidy_csv

NAME = "bench"
WRITERS = {".md": markdown, ".csv": tidy_csv, ".tex": latex}
IMAGE_KINDS = ("png", "svg")


class BenchFolder:
    """The place of a bench's files."""

    def __init__(self, results_dir: str | Path) -> None:
        self.path = Path(results_dir) / NAME
        self.runs = self.path / "runs"

    def prepare(self) -> None:
        """Make the folders before anything is timed. StoreError where they cannot be."""
        for folder in (self.runs, self.path / "tables", self.path / "figures"):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise unwritable(folder, error) from error

    def write(self, timing: Timing) -> Path:
        """Write a timing, in the place of an older one of the same."""
        path = self.runs / f"{timing.id}.json"
        write_atomically(path, timing.to_json())
        return path

    def read(self) -> list[Timing]:
        """Every timing that is there. RecordError names a file that is not sound."""
        return [Timing.from_json(read_regular(path), path) for path in sorted(self.runs.glob("*.json"))]

    def keep(self, timings: Sequence[Timing]) -> None:
        """Remove the timings of other benches."""
        ids = {timing.id for timing in timings}
        for path in self.runs.glob("*.json"):
            if path.stem not in ids:
                path.unlink(missing_ok=True)

    def report(self, timings: Sequence[Timing]) -> tuple[list[Sheet], list[Path]]:
        """Write the tables and the figure; the sheets, for the terminal, and the files."""
        from normlib.results.figures import image

        found = sheets(timings)
        files = [self.path / "tables" / f"cost{ending}" for ending in WRITERS]
        for path, write in zip(files, WRITERS.values(), strict=True):
            write_atomically(path, write(found))
        pictures = [self.path / "figures" / f"cost.{kind}" for kind in IMAGE_KINDS]
        figure = draw(timings)
        for path, kind in zip(pictures, IMAGE_KINDS, strict=True):
            if figure is None:
                path.unlink(missing_ok=True)
            else:
                write_atomically(path, image(figure, kind))
        return found, [*files, *(pictures if figure is not None else [])]
