"""The report: from records to the files in a results folder and to the terminal.

In: a store's folder and its records. Out: runs.csv, verdicts.md, tables/, figures/ and report.html, each file replaced
whole, and a `Report` that prints. Nothing is trained and torch is not imported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from normlib.results import tuning
from normlib.results.axes import check_axis, same_text
from normlib.results.files import unwritable, write_atomically
from normlib.results.findings import Findings, filed_apart, find
from normlib.results.frame import SEED, frame, latest, run_name
from normlib.results.identity import check_paired
from normlib.results.messages import messages_of, runs
from normlib.results.record import Record, RecordError
from normlib.results.sheet import Sheet
from normlib.results.study import Question, Study
from normlib.results.tuning_sheet import tuning_sheets
from normlib.results.verdicts import digest, headline, verdicts, verdicts_markdown
from normlib.results.writers import latex, markdown, terminal, tidy_csv

if TYPE_CHECKING:
    from rich.console import Console

TABLES, FIGURES, PAGE = "tables", "figures", "report.html"
IMAGE_KINDS = ("png", "svg")


@dataclass(frozen=True)
class Report:
    """What was written, and what a reader must be told beside the tables. The main findings come first."""

    folder: Path
    frame: pd.DataFrame
    findings: tuple[Findings, ...]
    sheets: tuple[Sheet, ...]
    files: tuple[Path, ...]
    messages: tuple[str, ...]

    @property
    def page(self) -> Path:
        """The page, `report.html`."""
        return self.folder / PAGE

    def render(self, console: Console) -> None:
        """Print the tables, the verdicts and the messages, then where the files are."""
        from rich.text import Text

        shown = [sheet for sheet in self.sheets if sheet.in_terminal]
        if shown:
            console.print(terminal(shown, styled=console.is_terminal))
        for findings in self.findings[:1]:
            for section, lines in digest(findings.comparisons, findings.study.question).items():
                console.print(Text(f"Verdicts, {section}" if section else "Verdicts", style="bold"))
                for line in lines:
                    console.print(Text(f"- {line}"))
        for message in self.messages:
            console.print(Text(message))
        console.print(Text(f"runs.csv, verdicts.md, {TABLES}/, {FIGURES}/ and the page: {self.page}", style="dim"))


def write_report(
    folder: Path,
    records: Iterable[Record],
    problems: Sequence[RecordError] = (),
    question: Question | None = None,
    filters: Mapping[str, Collection[Any]] | None = None,
    ids: Collection[str] | None = None,
    command: str = "normlib report",
    warnings: Sequence[str] = (),
) -> Report:
    """Write every file and return the report. `filters` keeps the runs whose settings are among the values given, `ids`
    those of a plan; runs.csv has all runs nevertheless. `command` is what makes the report again, for the page;
    `warnings` is what a reader must be told of how the records came together.

    IdentityError where runs are compared that are not paired, ReportError for unknown axes; runs.csv is there by then.
    """
    question = question or Question()
    records = list(records)
    planned = records if ids is None else [record for record in records if record.id in ids]
    kept, superseded = latest(planned)
    shown_runs = frame(kept)
    all_runs = shown_runs if ids is None else frame(records)
    chosen = filtered(shown_runs, filters or {})
    files = [_write(folder / "runs.csv", all_runs.to_csv(index=False, lineterminator="\n"))]
    check_paired(chosen)
    curves = {run_name(record): record.curves for record in kept}
    found = _findings(chosen, question, curves)
    sheets = (*tuning_sheets(chosen), *(sheet for findings in found for sheet in findings.sheets))
    files += _write_tables(folder / TABLES, sheets)
    files.append(_write(folder / "verdicts.md", verdicts_markdown(found[0].comparisons, question)))
    drawn = _write_figures(folder / FIGURES, found)
    messages = [*warnings, *messages_of(chosen, len(all_runs), problems, superseded, bool(drawn))]
    if len(planned) < len(records):
        others = runs(len(records) - len(planned))
        messages.append(
            f"{others} in this folder are of other settings or older code; `normlib report` shows what is newest of all"
        )
    files += [*drawn, *_write_page(folder / PAGE, found[0], sheets, messages, command)]
    return Report(folder, chosen, found, sheets, tuple(files), tuple(messages))


def filtered(table: pd.DataFrame, filters: Mapping[str, Collection[Any]]) -> pd.DataFrame:
    """The runs whose settings are among the values given, compared as the command line writes them (32, null, true)."""
    for name, values in filters.items():
        if name != SEED:
            check_axis(table, name)
        wanted = {same_text(value) for value in values}
        table = table[table[name].map(same_text, na_action=None).isin(wanted)] if name in table else table
    return table.reset_index(drop=True)


def _findings(chosen: pd.DataFrame, question: Question, curves: Mapping[str, Any]) -> tuple[Findings, ...]:
    """One view of the runs, or after tuning two: every arm at its chosen value, and all at one fixed value."""
    axis = tuning.tuned_axis(chosen)
    if axis is None:
        return (find(Study(chosen, question, curves)),)
    views = tuning.views(chosen, axis)
    main, *others = (find(Study(of_view, question, curves), view) for view, of_view in views.items() if len(of_view))
    return (main, *(filed_apart(findings) for findings in others))


def _write(path: Path, content: str | bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    write_atomically(path, content)
    return path


def _write_tables(folder: Path, sheets: Sequence[Sheet]) -> list[Path]:
    """Each group of sheets as Markdown, CSV and LaTeX; tables that an older report had and this one has not go."""
    by_name: dict[str, list[Sheet]] = {}
    for sheet in sheets:
        by_name.setdefault(sheet.name, []).append(sheet)
    writers = {".md": markdown, ".csv": tidy_csv, ".tex": latex}
    paths = [
        _write(folder / f"{name}{end}", write(own)) for name, own in by_name.items() for end, write in writers.items()
    ]
    _remove_others(folder, paths, tuple(writers))
    return paths


def _write_figures(folder: Path, found: Sequence[Findings]) -> list[Path]:
    """Every figure of the main findings in both forms; an older figure that cannot be drawn now goes."""
    from normlib.results import figures  # matplotlib takes a third of a second to import

    paths = []
    for findings in found[:1]:
        for name, figure in figures.figures(findings.study, findings.tables, findings.comparisons).items():
            paths += [_write(folder / f"{name}.{kind}", figures.image(figure, kind)) for kind in IMAGE_KINDS]
    _remove_others(folder, paths, tuple(f".{kind}" for kind in IMAGE_KINDS))
    return paths


def _write_page(
    path: Path, main: Findings, sheets: Sequence[Sheet], messages: Sequence[str], command: str
) -> list[Path]:
    """The page of the main findings with the tables of all; where there is no run to show, an older page goes."""
    from normlib.results.page import PageContent, page  # plotly and jinja2 take a third of a second to import

    question, runs_shown = main.study.question, main.study.runs
    if not len(runs_shown):
        path.unlink(missing_ok=True)
        return []
    content = PageContent(
        experiment=", ".join(dict.fromkeys(runs_shown["experiment"])),
        study=main.study,
        sheets=sheets,
        comparisons=main.comparisons,
        headline=headline(main.comparisons, question) or "",
        verdicts=list(digest(main.comparisons, question).items()),
        details=[
            (section, [text for _, text in said]) for section, said in verdicts(main.comparisons, question).items()
        ],
        messages=messages,
        commands=[command],
    )
    return [_write(path, page(content))]


def _remove_others(folder: Path, kept: Sequence[Path], endings: tuple[str, ...]) -> None:
    """Remove what an older report left in a folder of ours, since it speaks of other runs."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.suffix in endings and path not in kept:
            path.unlink(missing_ok=True)
