"""The files of a report: their names, and what stands in tables, figures and the page. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from normlib.naming import unknown_name
from normlib.results.plots.description import Figure
from normlib.results.render import FILES
from normlib.results.store.placing import check_place
from normlib.results.study.axes import ReportError
from normlib.results.study.study import Study
from normlib.results.tables.check import checked_figures
from normlib.results.tables.table import Table, registered_tables, table_name
from normlib.results.verdicts import details, digests, headline
from normlib.tasks.metric import Metric

TABLES, FIGURES, PAGE, ROWS, VERDICTS = "tables", "figures", "report.html", "runs.csv", "verdicts.md"


def check_folder(folder: Path, metrics: Iterable[Metric], overwrite: bool = False) -> None:
    """Refuse a folder in which a report would be refused, before there is one, by the names of all files that it may have;
    `metrics` are those of the runs to come. StoreError."""
    from normlib.results.plots.static import KINDS

    named = [table_name(metric) for metric in metrics]
    tables, plots = (
        [*registered_tables(), *named],
        [plot.__name__ for each in registered_tables().values() for plot in each.plots],
    )
    check_place(
        folder,
        [
            *(ROWS, VERDICTS, PAGE),
            *(f"{TABLES}/{name}{end}" for name in tables for end in FILES),
            *(f"{FIGURES}/{name}.{kind}" for name in (*named, *plots) for kind in KINDS),
        ],
        overwrite,
    )


def check_width(width: str) -> None:
    """ReportError for a width that figures do not have."""
    from normlib.results.plots.static import INCHES

    if width not in INCHES:
        raise ReportError(unknown_name("value of figures.width", width, INCHES))


def tables_of(tables: Sequence[Table]) -> dict[str, str]:
    """The tables of each name as Markdown, CSV and LaTeX."""
    by_name: dict[str, list[Table]] = {}
    for table in tables:
        by_name.setdefault(table.name, []).append(table)
    return {f"{TABLES}/{name}{end}": write(own) for name, own in by_name.items() for end, write in FILES.items()}


def make_figures(studies: Sequence[Study]) -> dict[str, list[Figure]]:
    """The figures of the main study by the name of the table that they were registered with."""
    made = {
        name: checked_figures(each, study)
        for study in studies[:1]
        if len(study.runs)
        for name, each in registered_tables().items()
    }
    return {name: figures for name, figures in made.items() if figures}


def figures_of(figures: Mapping[str, Sequence[Figure]], width: str) -> dict[str, bytes]:
    """Every figure in each form of a file, as wide as a "column" or the "text"."""
    from normlib.results.plots import static  # which imports matplotlib to draw

    drawn = {each.name: static.draw(each, width) for own in figures.values() for each in own}
    return {f"{FIGURES}/{name}.{kind}": static.image(one, kind) for name, one in drawn.items() for kind in static.KINDS}


def page_of(
    everything: Study, studies: Sequence[Study], tables: Sequence[Table], figures: Mapping[str, Sequence[Figure]],
    messages: Sequence[str], command: str,
) -> str:  # fmt: skip
    """The page of the main study with the tables of all."""
    from normlib.results.page import PageContent, page  # plotly and jinja2 take a third of a second to import

    return page(
        PageContent(
            experiment=", ".join(dict.fromkeys(everything.runs["experiment"])),
            study=studies[0] if studies else Study(everything.runs.iloc[:0], everything.question),
            everything=everything,
            tables=tables,
            figures=figures,
            headline=headline(studies),
            verdicts=digests(studies),
            details=details(studies),
            messages=messages,
            commands=[command],
        )
    )
