"""`bench`: measure everything that is asked for, write each timing at once, then the tables and the figure.

In comes the command line, out goes a `Bench` that prints. Reads no records of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from normlib.experiments.complaints import ConfigError
from normlib.notebook import printed_as_html, steps
from normlib.results.render.html import html_table
from normlib.results.render.terminal import terminal
from normlib.results.tables.model import Table
from normlib.timings.asked import Asked, read
from normlib.timings.cases import Case, cases
from normlib.timings.folder import BenchFolder
from normlib.timings.measurement import Lineup, Measurement, lineup
from normlib.timings.ratio import NO_SLOWER, SLOWER, UNSURE
from normlib.timings.record import LEAST_BLOCKS, Timing
from normlib.timings.settings import INPUTS
from normlib.timings.tables import verdicts_of
from normlib.timings.timing import keep_freed_memory


@dataclass(frozen=True, repr=False)
class Bench:
    """What was measured, what could not be, and where it is.

    `skipped` has the norms that were not timed, by the reason. `tables` are those that are printed; `files` are all that was written.
    """

    timings: tuple[Timing, ...]
    skipped: dict[str, list[str]]
    tables: tuple[Table, ...]
    files: tuple[Path, ...]
    folder: Path

    def render(self, console: Console) -> None:
        """Print the tables, the verdicts and where the files are."""
        console.print(terminal(self.tables, styled=console.is_terminal))
        self._tell(console)

    def _repr_html_(self) -> str:
        """The tables, the verdicts and where the files are, as a notebook shows them."""
        return "\n".join([*map(html_table, self.tables), printed_as_html(self._tell)])

    def __repr__(self) -> str:
        return f"<Bench: {len(self.timings)} timings in {self.folder}>"

    def _tell(self, console: Console) -> None:
        """Print the verdicts and where the files are."""
        verdicts = [(t, name, found) for t in self.timings for name, found in verdicts_of(t).items()]
        for verdict in (SLOWER, UNSURE):
            for t, name, found in verdicts:
                if found == verdict:
                    where = f"{t.passes}, {t.shape}, {t.layout}, {t.dtype}, {t.inputs}, {t.cache}, {t.threads} threads"
                    console.print(Text(f"{verdict}: {t.norm} than {t.what[name]} ({where})"))
        for name in dict.fromkeys(name for _, name, _ in verdicts):
            of_name = [found for _, other, found in verdicts if other == name]
            told = f"{of_name.count(NO_SLOWER)} of {len(of_name)} comparisons with {name}: no slower"
            console.print(Text(told, style="bold"))
        for reason, norms in self.skipped.items():
            console.print(Text(f"not timed: {', '.join(norms)}: {reason}"))
        console.print(Text(f"runs/, tables/ and figures/ in {self.folder}", style="dim"))


def bench(overrides: Sequence[str], console: Console, overwrite: bool = False) -> Bench:
    """Measure, write and return. ConfigError where nothing that is asked for can be timed, StoreError, before anything is,
    where files are in the way that no bench wrote, unless they are to be overwritten."""
    asked = read(overrides)
    folder = BenchFolder(asked.results_dir, overwrite)
    folder.prepare()
    keep_freed_memory()
    command = " ".join(["normlib bench", *overrides])
    measurements, skipped = _measurements(asked)
    if not measurements:
        reasons = "; ".join(f"{', '.join(norms)}: {reason}" for reason, norms in skipped.items())
        raise ConfigError(f"there is nothing to time: {reasons or 'no input is asked for'}")
    timings: list[Timing] = []
    with steps(console, len(measurements) * asked.bench.blocks, "timing") as next_is:
        for block in range(asked.bench.blocks):  # over all of them, so that a measurement's blocks lie apart in time
            timings = []
            for measurement in measurements:
                at = measurement.case
                shown = f"{measurement.lineup.norm} {at.shape} {at.layout} {at.dtype} {at.inputs} {at.cache} {at.device} {at.threads}"
                next_is(f"block {block + 1}: {shown}")
                measurement.time_block(block)
                if block + 1 >= LEAST_BLOCKS:
                    timings += (found := measurement.timings(command))
                    for timing in found:
                        folder.write(timing)
    timings.sort(key=lambda t: (t.norm, t.shape, t.layout != "contiguous", INPUTS.index(t.inputs), t.cache == "cold"))
    folder.keep(timings)
    tables, files = folder.report(timings)
    return Bench(tuple(timings), skipped, tuple(tables), tuple(files), folder.path)


def _measurements(asked: Asked) -> tuple[list[Measurement], dict[str, list[str]]]:
    """What is to be timed, and by reason, the norms that are not; layers are built once for all values and caches."""
    built: dict[tuple[str, Case], Lineup | str] = {}
    measurements: list[Measurement] = []
    skipped: dict[str, list[str]] = {}
    for case in cases(asked.bench):
        for norm in asked.norms:
            key = (norm, case.build)
            if key not in built:
                built[key] = lineup(norm, case.build, asked.bench.compile)
            found = built[key]
            try:
                if isinstance(found, Lineup):
                    measurements.append(Measurement(found, case, asked.bench))
                    continue
            except ValueError as error:
                found = str(error)
            if norm not in skipped.setdefault(found, []):
                skipped[found].append(norm)
    return measurements, skipped
