"""The registered tables: a function of the study each, in a file each; the report and the page follow from them.

A new table is one file: a dataclass for its rows, a function of the study that fills them, and a `register_table` above it.
Other packages add theirs through entry points, a single file by `plugins=`. Nothing else lists the tables.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normlib.registry import RegistryError, load_entry_points
from normlib.results.study.identity import NOT_VERIFIED
from normlib.results.study.metrics import EMPTY
from normlib.results.study.study import Study
from normlib.results.tables.check import checked
from normlib.results.tables.model import Cell, Column, Line, Row, Table, field_of, flat, p_value, sort_key, usual
from normlib.tasks.metric import Metric

__all__ = [
    "EMPTY", "Cell", "Column", "Line", "Make", "Registered", "Row", "Table", "field_of", "flat", "make_tables", "p_value",
    "register_table", "registered_tables", "sort_key", "table_name", "usual",
]  # fmt: skip

ENTRY_POINTS = "normlib.tables"
BEHIND_ALL = 1000
"""The order of a table that says none: behind those of normlib."""
Make = Callable[[Study], Iterable[Any] | Table]


@dataclass(frozen=True)
class Registered:
    """A registered table: what makes it, and the part of the page that it opens."""

    name: str
    make: Make
    heading: str
    introduction: str
    plots: tuple[Callable[[Study], Any], ...] = ()
    order: int = BEHIND_ALL

    @property
    def own(self) -> bool:
        """Whether the table is one of normlib's own."""
        return self.make.__module__.startswith("normlib.")

    @property
    def source(self) -> str:
        """Where the table comes from, for messages: its file, or its module."""
        try:
            file = inspect.getsourcefile(self.make)
        except TypeError:  # a callable that is no function
            file = None
        there = file is not None and Path(file).is_file()
        return Path(file).name if there and file is not None else self.make.__module__


_registered: dict[str, Registered] = {}


def register_table(
    name: str,
    heading: str = "",
    introduction: str = "",
    plots: Sequence[Callable[[Study], Any]] = (),
    order: int = BEHIND_ALL,
) -> Callable[[Make], Make]:
    """Register a function of the study (`normlib.results.study.Study`) that makes tables, by decorating it.

    `name` is the name of its files and of its part of the page, whose `heading` and `introduction` (a sentence for a reader who
    has not read the documentation) come from here. `plots` are functions of the study that make the plots of that part.
    Tables stand by rising `order`, by default behind those of normlib.

    The function returns a `Table`, or several as a list; an empty list where it has nothing to say. The same function may be
    registered again, as a notebook does. RegistryError for a name that is taken, or that cannot be the name of a file.
    """

    def register(make: Make) -> Make:
        if not callable(make):
            raise RegistryError(f"a table is registered as a function of the study, but {name!r} is {make!r}")
        new = Registered(name, make, heading, introduction, tuple(plots), order)
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise RegistryError(
                f"a table's name is the name of its files: letters, digits and underscores, a letter first; got {name!r} for "
                f"{make.__qualname__} ({new.source})"
            )
        new = dataclasses.replace(new, heading=heading or name.replace("_", " ").capitalize())
        if not new.own:
            _load()
        taken = next((each for each in _registered.values() if each.name.lower() == name.lower()), None)
        if taken is not None and _definition(taken) != _definition(new):
            raise RegistryError(
                f"the table name {name!r} is taken by {taken.make.__qualname__} ({taken.source}); register {make.__qualname__} "
                f"({new.source}) under another name"
            )
        _registered[name] = new
        return make

    return register


def registered_tables() -> dict[str, Registered]:
    """All registered tables by name, in the order of the report. RegistryError for an entry point that does not import."""
    _load()
    _load_others()
    return {each.name: each for each in sorted(_registered.values(), key=lambda each: each.order)}


def make_tables(study: Study) -> list[Table]:
    """All tables that the study has something for, in the order of their registration; of a view they say which it is.

    ReportError for a table of a plug-in that cannot be made; it names the plug-in.
    """
    made = []
    for registered in registered_tables().values():
        tables = list(registered.make(study)) if registered.own else checked(registered, study)  # type: ignore[arg-type]
        for table in tables:
            if not table.rows and not table.notes:
                continue
            notes, title = table.notes, table.title
            if not study.hashed:
                notes = (*notes, NOT_VERIFIED)
            if study.view:
                notes, title = (f"{study.heading}.", *notes), f"{title} ({study.view})"
            part = table.part or registered.name
            made.append(dataclasses.replace(table, title=title, notes=notes, part=part, view=study.view))
    return made


def table_name(metric: Metric) -> str:
    """The name of a metric's table and figure: its own, unless another table has it."""
    taken = {name.lower() for name in registered_tables()}
    return f"{metric.name}_metric" if metric.name.lower() in taken else metric.name


@functools.cache
def _load() -> None:
    """Import every file of this folder; each registers what it makes."""
    from normlib.results import tables

    for module in pkgutil.iter_modules(tables.__path__):
        importlib.import_module(f"{tables.__name__}.{module.name}")


@functools.cache
def _load_others() -> None:
    """Import the tables of other installed packages."""
    load_entry_points(ENTRY_POINTS)


def _definition(registered: Registered) -> tuple[str, str]:
    """What tells one function from another: an edited file, or a cell that ran again, defines the same one once more."""
    return registered.source, registered.make.__qualname__
