"""`bench`: measure everything that is asked for, write each timing at once, then the tables and the figure.

In comes the command line, out goes a `Bench` that prints. Reads no records of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from normlib.bench.folder import BenchFolder
from normlib.bench.measurement import inputs, measure
from normlib.bench.ratio import SLOWER, UNSURE, ratio
from normlib.bench.record import OURS, TORCH, Timing
from normlib.bench.settings import read
from normlib.bench.timing import keep_freed_memory
from normlib.experiments.complaints import ConfigError
from normlib.results.sheet import Sheet
from normlib.results.writers import terminal


@dataclass(frozen=True)
class Bench:
    """What was measured, what could not be, and where it is."""

    timings: tuple[Timing, ...]
    skipped: dict[str, list[str]]
    sheets: tuple[Sheet, ...]
    files: tuple[Path, ...]
    folder: Path

    def render(self, console: Console) -> None:
        """Print the tables, the verdicts and where the files are."""
        console.print(terminal(self.sheets, styled=console.is_terminal))
        compared = [timing for timing in self.timings if TORCH in timing.seconds]
        verdicts = [ratio(t.seconds[OURS], t.seconds[TORCH]).verdict(t.allowed) for t in compared]
        for verdict in (SLOWER, UNSURE):
            for timing, found in zip(compared, verdicts, strict=True):
                if found == verdict:
                    where = (
                        f"{timing.passes}, {timing.shape}, {timing.layout}, {timing.dtype}, {timing.threads} threads"
                    )
                    console.print(Text(f"{verdict}: {timing.norm} than {timing.what[TORCH]} ({where})"))
        console.print(
            Text(f"{verdicts.count('no slower')} of {len(compared)} comparisons with torch.nn: no slower", style="bold")
        )
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
    every = [(norm, at) for at in inputs(asked.bench) for norm in asked.norms]
    timings: list[Timing] = []
    skipped: dict[str, list[str]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("timing", total=len(every))
        for norm, at in every:
            progress.update(task, description=f"{norm} {at.shape} {at.layout} {at.dtype} {at.device} {at.threads}")
            found = measure(norm, at, asked.bench, command)
            if isinstance(found, str):
                if norm not in skipped.setdefault(found, []):
                    skipped[found].append(norm)
            else:
                for timing in found:
                    folder.write(timing)
                timings += found
            progress.advance(task)
    if not timings:
        reasons = "; ".join(f"{', '.join(norms)}: {reason}" for reason, norms in skipped.items())
        raise ConfigError(f"there is nothing to time: {reasons or 'no input is asked for'}")
    timings.sort(key=lambda timing: (timing.norm, timing.shape, timing.layout != "contiguous"))
    folder.keep(timings)
    found_sheets, files = folder.report(timings)
    return Bench(tuple(timings), skipped, tuple(found_sheets), tuple(files), folder.path)
