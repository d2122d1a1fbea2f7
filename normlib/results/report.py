"""The report: from records to the files in a results folder and to the terminal.

In: a store's folder and its records. Out: runs.csv, table.md, table.csv, accuracy.png and accuracy.svg, each replaced
whole, and a `Report` that prints. Nothing is trained and torch is not imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from normlib.results.axes import Order, check_axis, same_text
from normlib.results.files import unwritable, write_atomically
from normlib.results.frame import SEED, frame, latest, mixed_code
from normlib.results.identity import check_paired
from normlib.results.record import DIVERGED, FAILED, Record, RecordError
from normlib.results.tables import ACCURACY, Table, comparison
from normlib.results.writers import markdown, terminal, tidy_csv

if TYPE_CHECKING:
    from rich.console import Console

MOST_NAMED = 10
"""Of many problems of one kind so many are named, and the rest are counted."""


@dataclass(frozen=True)
class Report:
    """What was written, and what a reader must be told beside the tables."""

    folder: Path
    frame: pd.DataFrame
    tables: tuple[Table, ...]
    files: tuple[Path, ...]
    messages: tuple[str, ...]

    def render(self, console: Console) -> None:
        """Print the tables, then the messages, then the names of the files."""
        from rich.text import Text

        if self.tables:
            console.print(terminal(self.tables, styled=console.is_terminal))
        for message in self.messages:
            console.print(Text(message))
        console.print(Text(f"{', '.join(file.name for file in self.files)} in {self.folder}", style="dim"))


def write_report(
    store_folder: Path,
    records: Iterable[Record],
    problems: Sequence[RecordError] = (),
    rows: str = "norm",
    columns: str = "data.batch_size",
    order: Order | None = None,
    filters: Mapping[str, Collection[Any]] | None = None,
    ids: Collection[str] | None = None,
) -> Report:
    """Write every file and return the report. `filters` keeps the runs whose settings are among the values given, `ids`
    those of a plan; runs.csv has all runs nevertheless.

    IdentityError where runs are compared that are not paired, ReportError for unknown axes; runs.csv is there by then.
    """
    records = list(records)
    planned = records if ids is None else [record for record in records if record.id in ids]
    kept, superseded = latest(planned)
    shown_runs = frame(kept)
    runs = shown_runs if ids is None else frame(records)
    chosen = filtered(shown_runs, filters or {})
    try:
        store_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(store_folder, error) from error
    files = [_write(store_folder / "runs.csv", runs.to_csv(index=False, lineterminator="\n"))]
    check_paired(chosen)
    tables = comparison(chosen, rows, columns, ACCURACY, order) if len(chosen) else []
    files.append(_write(store_folder / "table.md", markdown(tables)))
    files.append(_write(store_folder / "table.csv", tidy_csv(tables)))
    drawn = _write_figure(store_folder, tables)
    messages = _messages(chosen, len(runs), problems, superseded, bool(drawn))
    if len(planned) < len(records):
        others = _runs(len(records) - len(planned))
        messages.append(
            f"{others} in this folder are of other settings or older code; `normlib report` shows what is newest of all"
        )
    return Report(store_folder, chosen, tuple(tables), (*files, *drawn), tuple(messages))


def filtered(runs: pd.DataFrame, filters: Mapping[str, Collection[Any]]) -> pd.DataFrame:
    """The runs whose settings are among the values given, compared as the command line writes them (32, null, true)."""
    for name, values in filters.items():
        if name != SEED:
            check_axis(runs, name)
        wanted = {same_text(value) for value in values}
        runs = runs[runs[name].map(same_text, na_action=None).isin(wanted)] if name in runs else runs
    return runs.reset_index(drop=True)


def _write(path: Path, content: str | bytes) -> Path:
    write_atomically(path, content)
    return path


def _write_figure(folder: Path, tables: Sequence[Table]) -> list[Path]:
    """Both forms of the figure; where there is nothing to draw, an older figure goes, since it shows other runs."""
    from normlib.results import figures  # matplotlib takes a third of a second to import

    paths = {kind: folder / f"accuracy.{kind}" for kind in ("png", "svg")}
    figure = figures.draw(tables)
    if figure is None:
        for path in paths.values():
            path.unlink(missing_ok=True)
        return []
    return [_write(path, figures.image(figure, kind)) for kind, path in paths.items()]


def _messages(
    chosen: pd.DataFrame, number_of_runs: int, problems: Sequence[RecordError], superseded: int, drawn: bool
) -> list[str]:
    messages = [f"left out: {problem}" for problem in problems[:MOST_NAMED]]
    if len(problems) > MOST_NAMED:
        messages.append(f"left out: {len(problems) - MOST_NAMED} more files that are no sound records")
    if superseded:
        messages.append(
            f"{_runs(superseded)} left out: newer records of the same spec exist, made by another version of the code"
        )
    messages += [f"warning: {warning}" for warning in mixed_code(chosen)]
    for status, verb in ((FAILED, "failed"), (DIVERGED, "diverged")):
        reasons = Counter(str(reason) for reason in chosen.loc[chosen["status"] == status, "reason"])
        if reasons:
            messages.append(f"{_runs(sum(reasons.values()))} {verb}:")
            messages += [f"  {count} × {reason}" for reason, count in reasons.most_common(MOST_NAMED)]
            if len(reasons) > MOST_NAMED:
                messages.append(f"  and {len(reasons) - MOST_NAMED} other reasons")
    if not len(chosen):
        messages.append(f"no runs to show: none of {_runs(number_of_runs)} is among those asked for")
    elif not drawn:
        messages.append("no figure: no run has been trained to its end")
    return messages


def _runs(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"
