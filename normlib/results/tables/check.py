"""The tables and figures of a plug-in, checked before a report uses them: whatever is wrong is one message that names the plug-in.

In: a registered table, and the study. Out: its tables, complete, or its figures. The records are on disk by then,
and stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from normlib.errors import NormlibError
from normlib.naming import unknown_name
from normlib.results.plots.description import Figure
from normlib.results.study.axes import ReportError
from normlib.results.study.study import Study
from normlib.results.tables.model import Row, Table

if TYPE_CHECKING:
    from normlib.results.tables.table import Registered


def checked(registered: Registered, study: Study) -> list[Table]:
    """What the plug-in makes of the study, under its own name, with the registered heading where a table has no title.

    ReportError, which names the plug-in, where it raises, returns no tables, or has rows and columns that do not fit.
    """
    with _blamed(registered):
        made = _tables(registered.make(study))
        tables = [
            dataclasses.replace(each, name=each.name or registered.name, title=each.title or registered.heading)
            for each in made
        ]
        for table in tables:
            _check(table, registered.name)
    return tables


def checked_figures(registered: Registered, study: Study) -> list[Figure]:
    """The figures that a registration has of the study. ReportError, as for tables."""
    with _blamed(registered):
        made = [plot(study) for plot in registered.plots]
        for each in made:
            if each is not None and not isinstance(each, Figure):
                raise ReportError(
                    f"a plot returned {_short(each)}; return a Figure, or None where there is nothing to show"
                )
    return [each for each in made if each is not None]


@contextlib.contextmanager
def _blamed(registered: Registered) -> Iterator[None]:
    """Errors become a ReportError that names the plug-in."""
    try:
        yield
    except ReportError as error:
        raise ReportError(f"{_named(registered)}: {error}. {_fix(registered)}") from error
    except NormlibError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f" (line {last.lineno} of {last.filename})"
        said = f"raised {type(error).__name__}: {error}{where}"
        raise ReportError(
            f"{_named(registered)} {said}. {_fix(registered)} NORMLIB_DEBUG=1 shows the traceback."
        ) from error


def _named(registered: Registered) -> str:
    return f"the table {registered.name!r} of {registered.source}"


def _fix(registered: Registered) -> str:
    return f"Every record is kept: correct {registered.source} and run `normlib report` again."


def _tables(made: Any) -> list[Table]:
    if isinstance(made, Table):
        return [made]
    found = list(made) if isinstance(made, Iterable) and not isinstance(made, str | Mapping) else [made]
    for each in found:
        if not isinstance(each, Table):
            raise ReportError(
                f"it returned {_short(each)}; return a normlib.Table, or a list of them (an empty list where there is nothing to show)"
            )
    return found


def _check(table: Table, name: str) -> None:
    """ReportError for a table that no renderer could write."""
    if table.name != name:
        raise ReportError(f"its table is named {table.name!r}; leave the name out, or give it the registered one")
    needed = [column for column in table.columns if isinstance(column.figure, str)]
    for row in table.rows:
        fields = _fields(row)
        for column in needed:
            if column.figure not in fields:
                raise ReportError(
                    f"the column {column.name!r}: {unknown_name('field of its rows', str(column.figure), fields)}"
                )
    if table.rows and not table.columns:
        raise ReportError("it has rows, but no columns: give it columns=(normlib.Column(...), ...)")
    twice = next((name for name in table.header if table.header.count(name) > 1), None)
    if twice is not None:
        raise ReportError(f"two columns are called {twice!r}; give each a heading of its own")
    for text in (table.title, *table.header, *table.notes, *(cell.text for line in table.lines for cell in line.cells)):
        if not isinstance(text, str):
            raise ReportError(f"titles, headings, cells and notes are text, and one of them is {_short(text)}")
    _ = table.tidy


def _fields(row: Row) -> set[str]:
    if isinstance(row, Mapping):
        return set(row)
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {name for name in dir(row) if not name.startswith("_")}  # fields and properties
    raise ReportError(f"a row is a dataclass or a mapping, got {_short(row)}")


def _short(thing: Any) -> str:
    return f"{str(thing)[:60]!r} ({type(thing).__name__})"
