"""A table: rows of unrounded figures, and columns that say how they read. Every table of normlib is one.

A renderer (results/render) takes any table. A new table is one file: a dataclass for its rows, a function of the study that
fills them, and a `register_table` above it. The report, the page and the list of files follow from the registration.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from normlib.results.study.identity import NOT_VERIFIED
from normlib.results.study.metrics import EMPTY
from normlib.results.study.study import Study
from normlib.tasks.metric import Metric

TUNING_TABLE = "tuning"
"""The table of what trials chose, which is of no view."""
Row = Any
"""A dataclass, or a mapping. Its fields are the columns of the CSV; `arm` is the arm that it is about, by which readers filter,
`column` its condition, and `why_none` says why it has no figures."""


@dataclass(frozen=True)
class Column:
    """One column of a table: its heading, and how the cell of a row reads.

    `figure` is what the cell shows and sorts by: a field of the row, or a function of the row. `format` makes it text: a format
    such as "{:,.0f}" for the figure, or a function of the whole row. `strong` says of which rows the cell stands out. A `label`
    names what the row is about; figures of other columns are missing from rows that have a `why_none`, unless the column is
    `always` filled.
    """

    name: str
    figure: str | Callable[[Row], Any]
    format: str | Callable[[Row], str] = "{}"
    unit: str = ""
    strong: Callable[[Row], bool] | None = None
    label: bool = False
    always: bool = False

    @property
    def heading(self) -> str:
        """The name with its unit in brackets, unless the name has the unit in it."""
        return f"{self.name} ({self.unit})" if self.unit and self.unit not in self.name.split() else self.name

    def value(self, row: Row) -> Any:
        """The figure of a row."""
        return self.figure(row) if callable(self.figure) else field_of(row, self.figure)

    def cell(self, row: Row) -> Cell:
        """The figure as text, what it sorts by, and whether it stands out."""
        value = self.value(row)
        if callable(self.format):
            text = self.format(row)
        else:
            missing = value is None or value == "" or value != value
            text = EMPTY if missing else "∞" if value == math.inf else self.format.format(value)
        return Cell(text, sort_key(value), self.strong is not None and self.strong(row))


@dataclass(frozen=True)
class Cell:
    """A cell as it reads: its text, the number that it sorts by (None: by its text), and whether it stands out."""

    text: str
    sort: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a table as it reads; `arm` is the arm that it is about."""

    arm: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table. Those with one `name` share their files: `<name>.md`, `.csv` and `.tex`, one below the other.

    A plain table has a line a row. A grid has a line an arm and a column a condition: `across` then gives for each value of the
    rows' `column` its heading, `arms` the order of the lines, and the last of the `columns` is what the cells show.
    """

    name: str
    title: str
    columns: tuple[Column, ...] = ()
    rows: Sequence[Row] = ()
    notes: tuple[str, ...] = ()
    across: Mapping[str, str] | None = None
    arms: Sequence[str] = ()
    part: str = ""
    """The part of the page that it stands in: a registered name, by default its own."""
    view: str = ""
    """Which runs it is about after tuning: "tuned" or "fixed"; it is the first column of the CSV then."""
    in_terminal: bool = False
    """Whether it is printed at the end of a comparison too, or in files and on the page only."""

    @property
    def num_labels(self) -> int:
        """How many of the first columns are labels."""
        return sum(column.label for column in self.columns)

    @cached_property
    def header(self) -> tuple[str, ...]:
        """The headings, with those of the conditions in a grid."""
        own = tuple(column.heading for column in self.columns)
        return own if self.across is None else (*own[:-1], *self.across.values())

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The cells as they read."""
        return tuple(map(self._line, self.rows)) if self.across is None else self._grid(self.across)

    def _line(self, row: Row) -> Line:
        reason, cells = field_of(row, "why_none"), []
        for column in self.columns:
            if not reason or column.label or column.always:
                cells.append(column.cell(row))
            else:
                cells.append(Cell(reason))
                reason = EMPTY
        return Line(field_of(row, "arm") or cells[0].text, tuple(cells))

    def _grid(self, across: Mapping[str, str]) -> tuple[Line, ...]:
        *labels, cell = self.columns
        by_place = {(field_of(row, "arm"), field_of(row, "column")): row for row in self.rows}
        lines = []
        for arm in self.arms:
            found = [by_place.get((arm, place)) for place in across]
            one = next((row for row in found if row is not None), None)
            if one is not None:
                figures = (
                    Cell(EMPTY)
                    if row is None
                    else Cell(reason)
                    if (reason := field_of(row, "why_none"))
                    else cell.cell(row)
                    for row in found
                )
                lines.append(Line(arm, (*(label.cell(one) for label in labels), *figures)))
        return tuple(lines)

    @cached_property
    def tidy(self) -> tuple[dict[str, Any], ...]:
        """The rows' fields, unrounded, flat: what the CSV holds. Shares of % metrics are fractions."""
        view = {"view": self.view} if self.view else {}
        return tuple(view | flat(row) for row in self.rows)


Make = Callable[[Study], Iterable[Any]]


@dataclass(frozen=True)
class Registered:
    """A registered table: what makes it, and the part of the page that it opens."""

    name: str
    make: Make
    heading: str
    introduction: str
    plots: tuple[Callable[[Study], Any], ...] = ()
    order: int = 100


_registered: dict[str, Registered] = {}


def register_table(
    name: str, heading: str = "", introduction: str = "", plots: Sequence[Callable[[Study], Any]] = (), order: int = 100
) -> Callable[[Make], Make]:
    """Register a function of the study (`normlib.results.study.Study`) that makes tables, by decorating it.

    `name` is the name of its files and of its part of the page, whose `heading` and `introduction` (a sentence for who has not
    read the documentation) come from here; `plots` are functions of the study that make the plots of that part. A part without a heading belongs to the one before it. Tables stand by
    rising `order`, those of users behind normlib's own. A function that was registered under the name before is replaced.
    """

    def register(make: Make) -> Make:
        _registered[name] = Registered(name, make, heading, introduction, tuple(plots), order)
        return make

    return register


def registered_tables() -> dict[str, Registered]:
    """All registered tables by name, in the order of the report. Every file of this folder registers what it makes."""
    from normlib.results import tables

    for module in pkgutil.iter_modules(tables.__path__):
        importlib.import_module(f"{tables.__name__}.{module.name}")
    return {each.name: each for each in sorted(_registered.values(), key=lambda each: each.order)}


def make_tables(study: Study) -> list[Table]:
    """All tables that the study has something for, in the order of their registration; of a view they say which it is."""
    made = []
    for registered in registered_tables().values():
        for table in registered.make(study):
            if not table.lines and not table.notes:
                continue
            notes, title = table.notes, table.title
            if not study.hashed:
                notes = (*notes, NOT_VERIFIED)
            if study.view and registered.name != TUNING_TABLE:
                notes, title = (f"{study.heading}.", *notes), f"{title} ({study.view})"
            part = table.part or registered.name
            made.append(dataclasses.replace(table, title=title, notes=notes, part=part, view=study.view))
    return made


def table_name(metric: Metric) -> str:
    """The name of a metric's table and figure: its own, unless another table has it."""
    return f"{metric.name}_metric" if metric.name in registered_tables() else metric.name


def field_of(row: Row, name: str) -> Any:
    """A field of a row, "" where it has none of that name."""
    return row.get(name, "") if isinstance(row, Mapping) else getattr(row, name, "")


def flat(row: Row) -> dict[str, Any]:
    """A row's fields as one level: those of a field that is itself a row follow its name, as in `slope_low`."""
    fields = (
        dict(row)
        if isinstance(row, Mapping)
        else {each.name: getattr(row, each.name) for each in dataclasses.fields(row)}
    )
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            found |= {f"{name}_{inner}": each for inner, each in flat(value).items()}
        else:
            found[name] = value
    return found


def sort_key(value: Any) -> float | None:
    """What a cell sorts by: its number, ∞ as the largest there is, since JSON has no infinity; None for any other text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else max(min(number, sys.float_info.max), -sys.float_info.max)


def p_value(p: float) -> str:
    """A p value with two significant digits, down to 0.001."""
    if p != p:
        return EMPTY
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def usual(counts: Iterable[int]) -> int:
    """The count that most cells have, 0 without any: a cell says only where its own is another."""
    present = [count for count in counts if count]
    return max(present, key=present.count, default=0)
