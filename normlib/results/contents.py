"""The files of a report: their names, and what stands in tables, figures and the page. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from normlib.results.findings import Findings
from normlib.results.render.writers import latex, markdown, tidy_csv
from normlib.results.store.placing import check_place
from normlib.results.study.metrics import table_name
from normlib.results.study.study import Study
from normlib.results.study.tuning import FIXED
from normlib.results.tables.sheet import ANALYSES, Sheet
from normlib.results.view_verdicts import details, digests, main_headline
from normlib.tasks.metric import Metric

TABLES, FIGURES, PAGE, ROWS, VERDICTS = "tables", "figures", "report.html", "runs.csv", "verdicts.md"
IMAGE_KINDS = ("png", "svg")
WRITERS = {".md": markdown, ".csv": tidy_csv, ".tex": latex}


def check_folder(folder: Path, metrics: Iterable[Metric], overwrite: bool = False) -> None:
    """Refuse a folder in which a report would be refused, before there is one, by the names of all files that it may have;
    `metrics` are those of the runs to come. StoreError."""
    from normlib.results.plots.files import DIFFERENCES, LEARNING_CURVES

    named = [table_name(metric) for metric in metrics]
    tables = [f"{name}{view}" for name in (*ANALYSES, *named) for view in ("", f"_{FIXED}")]
    check_place(
        folder,
        [
            *(ROWS, VERDICTS, PAGE),
            *(f"{TABLES}/{name}{end}" for name in tables for end in WRITERS),
            *(f"{FIGURES}/{name}.{kind}" for name in (*named, DIFFERENCES, LEARNING_CURVES) for kind in IMAGE_KINDS),
        ],
        overwrite,
    )


def tables_of(sheets: Sequence[Sheet]) -> dict[str, str]:
    """Each group of sheets as Markdown, CSV and LaTeX."""
    by_name: dict[str, list[Sheet]] = {}
    for sheet in sheets:
        by_name.setdefault(sheet.name, []).append(sheet)
    return {f"{TABLES}/{name}{end}": write(own) for name, own in by_name.items() for end, write in WRITERS.items()}


def figures_of(found: Sequence[Findings]) -> dict[str, bytes]:
    """Every figure of the main findings that can be drawn, in both forms."""
    from normlib.results.plots import files  # matplotlib takes a third of a second to import

    return {
        f"{FIGURES}/{name}.{kind}": files.image(figure, kind)
        for findings in found[:1]
        for name, figure in files.figures(findings.study, findings.tables, findings.comparisons).items()
        for kind in IMAGE_KINDS
    }


def page_of(
    everything: Study, found: Sequence[Findings], sheets: Sequence[Sheet], messages: Sequence[str], command: str
) -> str:
    """The page of the main findings with the tables of all."""
    from normlib.results.page import PageContent, page  # plotly and jinja2 take a third of a second to import

    return page(
        PageContent(
            experiment=", ".join(dict.fromkeys(everything.runs["experiment"])),
            study=found[0].study if found else Study(everything.runs.iloc[:0], everything.question),
            everything=everything,
            sheets=sheets,
            comparisons=found[0].comparisons if found else (),
            headline=main_headline(found),
            verdicts=digests(found),
            details=details(found),
            messages=messages,
            commands=[command],
        )
    )
