"""The files of a report: their names, and what stands in tables, figures and the page. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from normlib.results.render import FILES
from normlib.results.store.placing import check_place
from normlib.results.study.study import Study
from normlib.results.tables.table import Table, registered_tables, table_name
from normlib.results.verdicts import details, digests, headline
from normlib.tasks.metric import Metric

TABLES, FIGURES, PAGE, ROWS, VERDICTS = "tables", "figures", "report.html", "runs.csv", "verdicts.md"
IMAGE_KINDS = ("png", "svg")


def check_folder(folder: Path, metrics: Iterable[Metric], overwrite: bool = False) -> None:
    """Refuse a folder in which a report would be refused, before there is one, by the names of all files that it may have;
    `metrics` are those of the runs to come. StoreError."""
    from normlib.results.plots.files import DIFFERENCES, LEARNING_CURVES

    named = [table_name(metric) for metric in metrics]
    tables = [*registered_tables(), *named]
    check_place(
        folder,
        [
            *(ROWS, VERDICTS, PAGE),
            *(f"{TABLES}/{name}{end}" for name in tables for end in FILES),
            *(f"{FIGURES}/{name}.{kind}" for name in (*named, DIFFERENCES, LEARNING_CURVES) for kind in IMAGE_KINDS),
        ],
        overwrite,
    )


def tables_of(tables: Sequence[Table]) -> dict[str, str]:
    """The tables of each name as Markdown, CSV and LaTeX."""
    by_name: dict[str, list[Table]] = {}
    for table in tables:
        by_name.setdefault(table.name, []).append(table)
    return {f"{TABLES}/{name}{end}": write(own) for name, own in by_name.items() for end, write in FILES.items()}


def figures_of(studies: Sequence[Study]) -> dict[str, bytes]:
    """Every figure of the main study that can be drawn, in both forms."""
    from normlib.results.plots import files  # matplotlib takes a third of a second to import

    return {
        f"{FIGURES}/{name}.{kind}": files.image(figure, kind)
        for study in studies[:1]
        for name, figure in files.figures(study).items()
        for kind in IMAGE_KINDS
    }


def page_of(
    everything: Study, studies: Sequence[Study], tables: Sequence[Table], messages: Sequence[str], command: str
) -> str:
    """The page of the main study with the tables of all."""
    from normlib.results.page import PageContent, page  # plotly and jinja2 take a third of a second to import

    return page(
        PageContent(
            experiment=", ".join(dict.fromkeys(everything.runs["experiment"])),
            study=studies[0] if studies else Study(everything.runs.iloc[:0], everything.question),
            everything=everything,
            sheets=list[Any](tables),
            headline=headline(studies),
            verdicts=digests(studies),
            details=details(studies),
            messages=messages,
            commands=[command],
        )
    )
