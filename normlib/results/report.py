"""The report: from records to the files in a results folder and to the terminal.

In: a store's folder and its records. Out: runs.csv, verdicts.md, tables/, figures/ and report.html, and a `Report` that
prints. All contents are made before the first is written. Nothing is trained and torch is not imported.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from normlib.errors import NormlibError
from normlib.results.contents import (
    FIGURES,
    PAGE,
    ROWS,
    TABLES,
    VERDICTS,
    check_width,
    figures_of,
    make_figures,
    page_of,
    tables_of,
)
from normlib.results.messages import messages_of, runs
from normlib.results.render.html import html_table
from normlib.results.render.terminal import terminal
from normlib.results.store.frame import frame, latest, run_name
from normlib.results.store.placing import place
from normlib.results.store.record import Record, RecordError
from normlib.results.study.axes import ReportError
from normlib.results.study.identity import check_paired
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.study.tuning import Choices
from normlib.results.study.views import Filters, Shown, View, shown
from normlib.results.tables.table import Table, make_tables
from normlib.results.verdicts import digests, headline, verdicts_file

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, repr=False)
class Report:
    """What was written, and what a reader must be told beside the tables. `frame` has all runs shown, those of trials too.

    The main study comes first; there is none where no run is compared yet. `figure` is the main figure as SVG, empty where nothing
    can be drawn.
    """

    folder: Path
    frame: pd.DataFrame
    studies: tuple[Study, ...]
    tables: tuple[Table, ...]
    files: tuple[Path, ...]
    messages: tuple[str, ...]
    figure: bytes = b""

    @property
    def page(self) -> Path:
        """The page, `report.html`."""
        return self.folder / PAGE

    def render(self, console: Console) -> None:
        """Print the tables, the verdicts and the messages, then where the files are."""
        from rich.text import Text

        shown = [table for table in self.tables if table.in_terminal]
        if shown:
            console.print(terminal(shown, styled=console.is_terminal))
        for heading, lines in digests(self.studies):
            console.print(Text(", ".join(filter(None, ("Verdicts", heading))), style="bold"))
            for line in lines:
                console.print(Text(f"- {line}"))
        for message in self.messages:
            console.print(Text(message))
        console.print(Text(f"runs.csv, verdicts.md, {TABLES}/, {FIGURES}/ and the page: {self.page}", style="dim"))

    def _repr_html_(self) -> str:
        """The report as a notebook shows it: the headline, the main figure and table, the messages, where the files are.

        All verdicts, and the other tables that a terminal shows, are folded away. The figure is an image within the page.
        """
        first = headline(self.studies)
        parts = [f"<p><strong>{escape(first)}</strong></p>"] if first else []
        if self.figure:
            source = f"data:image/svg+xml;base64,{b64encode(self.figure).decode()}"
            parts.append(f'<img alt="the main figure" style="max-width:100%;background:white" src="{source}">')
        tables = [html_table(table) for table in self.tables if table.in_terminal]
        parts += tables[:1]
        for heading, lines in digests(self.studies):
            listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
            title = escape(", ".join(filter(None, ("Verdicts", heading))))
            parts.append(f"<details{'' if first else ' open'}><summary>{title}</summary><ul>{listed}</ul></details>")
        if tables[1:]:
            parts.append(f"<details><summary>Further tables</summary>{''.join(tables[1:])}</details>")
        parts += [f"<p>{escape(text)}</p>" for text in (*self.messages, self._where)]
        return "\n".join(parts)

    def __repr__(self) -> str:
        return f"<Report on {runs(len(self.frame))}: {len(self.tables)} tables, {self._where}>"

    @property
    def _where(self) -> str:
        """Where the files are."""
        written = [f"{ROWS}, {VERDICTS}, {TABLES}/", *([f"{FIGURES}/"] if self.figure else [])]
        page = self.page in self.files
        return f"{', '.join(written)} in {self.folder}" + (f", and the page: {self.page}" if page else "")


def write_report(
    folder: Path,
    records: Iterable[Record],
    problems: Sequence[RecordError] = (),
    question: Question | None = None,
    filters: Filters | None = None,
    ids: Collection[str] | None = None,
    command: str = "normlib report",
    warnings: Sequence[str] = (),
    staged: bool = True,
    overwrite: bool = False,
    figures_width: str = "text",
) -> Report:
    """Write every file and return the report. `filters` keeps the runs whose settings are among the values given, `ids`
    those of a plan; runs.csv has all runs nevertheless. `command` is what makes the report again, for the page;
    `warnings` is what a reader must be told of how the records came together. `staged`: after tuning there are two views;
    False shows all runs as one comparison, which is what they are in a plan that does not tune. `figures_width`: "column" or
    "text", what figures are made to fit in print.

    IdentityError where runs are compared that are not paired, ReportError for unknown axes; runs.csv is there by then.
    StoreError where files are in the way that no report wrote; `overwrite` has them replaced.
    """
    question = question or Question()
    records = list(records)
    planned = records if ids is None else [record for record in records if record.id in ids]
    kept, superseded = latest(planned)
    of_plan = frame(kept)
    all_runs = of_plan if ids is None else frame(records)
    others = []
    if len(planned) < len(records):
        count = runs(len(records) - len(planned))
        others.append(
            f"{count} in this folder are of other settings or older code; `normlib report` shows what is newest of all"
        )
    curves = {run_name(record): record.curves for record in kept}
    return report_on_frame(
        folder, of_plan, question, all_runs=all_runs, curves=curves, problems=problems, superseded=superseded, filters=filters,
        command=command, warnings=warnings, notes=others, staged=staged, overwrite=overwrite, figures_width=figures_width,
    )  # fmt: skip


def report_on_frame(
    folder: Path,
    table: pd.DataFrame,
    question: Question,
    *,
    command: str,
    all_runs: pd.DataFrame | None = None,
    curves: Mapping[str, Any] | None = None,
    problems: Sequence[RecordError] = (),
    superseded: int = 0,
    filters: Filters | None = None,
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
    staged: bool = True,
    overwrite: bool = False,
    figures_width: str = "text",
) -> Report:
    """The same of a frame of runs, whoever made it. `all_runs` goes to runs.csv, by default `table`; `curves` are by the runs'
    names; `notes` are the last messages."""
    check_width(figures_width)
    all_runs = table if all_runs is None else all_runs
    rows = {ROWS: all_runs.to_csv(index=False, lineterminator="\n")}
    try:
        chosen = shown(table, filters or {}, staged, question.metric)
        if chosen.axis in (question.rows, question.columns):
            raise ReportError(
                f"{chosen.axis} was tuned for each arm and cannot span the tables; change rows or columns"
            )
        check_paired(chosen.runs)
        studies = tuple(_study(view, question, curves or {}) for view in chosen.views)
        tables = _tables(studies, chosen, question)
    except NormlibError:
        place(folder, rows, overwrite, others_stay=True)
        raise
    figures = make_figures(studies)
    images = figures_of(figures, figures_width)
    no_figure = bool(studies) and not figures
    messages = [*warnings, *messages_of(chosen.runs, len(all_runs), problems, superseded, no_figure), *chosen.messages]
    messages += notes
    contents: dict[str, str | bytes] = {
        **rows,
        **tables_of(tables),
        VERDICTS: verdicts_file(studies, chosen.messages),
        **images,
    }
    if len(chosen.runs):
        contents[PAGE] = page_of(Study(chosen.runs, question), studies, tables, figures, messages, command)
    files = place(folder, contents, overwrite)
    main = next((each for name, each in images.items() if name.endswith(".svg")), b"")
    return Report(folder, chosen.runs, studies, tables, tuple(files), tuple(messages), main)


def _study(view: View, question: Question, curves: Mapping[str, Any]) -> Study:
    return Study(view.runs, question, curves, view.name, view.heading)


def _tables(studies: Sequence[Study], chosen: Shown, question: Question) -> tuple[Table, ...]:
    """The tables of every view, those of one name together, and after tuning what the trials chose."""
    tables = [table for study in studies for table in make_tables(study)]
    if chosen.axis is not None and chosen.metric is not None:
        choices = Choices(chosen.axis, chosen.choices, chosen.metric)
        tables += make_tables(Study(chosen.runs.iloc[:0], question, choices=choices))
    names = list(dict.fromkeys(table.name for table in tables))
    return tuple(sorted(tables, key=lambda table: names.index(table.name)))
