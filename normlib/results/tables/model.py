"""A table: rows of unrounded figures, and columns that say how they read. Every table of normlib is one.

In: rows and columns. Out: headings and cells as text, and the flat rows that the CSV holds. The renderers (results/render)
take any table. This file knows no file format and no study. table.py registers tables and makes them.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from normlib.results.study.metrics import EMPTY, bracketed

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
        return bracketed(self.name, self.unit)

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

    def fills(self, row: Row) -> bool:
        """Whether the row has something for this column; else the line says why not."""
        return self.label or self.always or not field_of(row, "why_none")


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


@dataclass(frozen=True, kw_only=True, repr=False)
class Table:
    """One table. Those with one `name` share their files: `<name>.md`, `.csv` and `.tex`, one below the other.

    A plain table has a line a row. A grid has a line an arm and a column a condition: `across` then gives for each value of the
    rows' field `place` its heading, `arms` the order of the lines, and the last of the `columns` is what the cells show.
    """

    name: str = ""
    """By default the name that the table is registered under."""
    title: str = ""
    """By default the heading that the table is registered with."""
    columns: tuple[Column, ...] = ()
    rows: Sequence[Row] = ()
    notes: tuple[str, ...] = ()
    across: Mapping[str, str] | None = None
    place: str = "column"
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
            cells.append(column.cell(row) if column.fills(row) else Cell(reason))
            reason = reason if column.fills(row) else EMPTY
        return Line(str(field_of(row, "arm") or cells[0].text), tuple(cells))

    def _grid(self, across: Mapping[str, str]) -> tuple[Line, ...]:
        *ahead, cell = self.columns
        by_line: dict[tuple[Any, ...], dict[str, Row]] = {}
        for row in self.rows:
            labels = tuple(column.value(row) for column in ahead if column.label)
            by_line.setdefault(labels, {})[field_of(row, self.place)] = row
        lines = []
        for rows in by_line.values():
            first = next(iter(rows.values()))
            told = [column.cell(first) for column in ahead]
            figures = (
                Cell(EMPTY)
                if (row := rows.get(place)) is None
                else cell.cell(row)
                if cell.fills(row)
                else Cell(field_of(row, "why_none"))
                for place in across
            )
            lines.append(Line(str(field_of(first, "arm") or told[0].text), (*told, *figures)))
        order = {arm: number for number, arm in enumerate(self.arms)}
        return tuple(sorted(lines, key=lambda line: order.get(line.arm, len(order))))

    @cached_property
    def tidy(self) -> tuple[dict[str, Any], ...]:
        """The rows' fields, unrounded, flat: what the CSV holds. Shares of % metrics are fractions."""
        view = {"view": self.view} if self.view else {}
        return tuple(view | flat(row) for row in self.rows)

    def __repr__(self) -> str:
        return f"<Table {self.name}: {self.title}, {len(self.rows)} rows>"

    def _repr_html_(self) -> str:
        """The table as a notebook shows it."""
        from normlib.results.render.html import html_table

        return html_table(self)


def field_of(row: Row, name: str) -> Any:
    """A field of a row, "" where it has none of that name."""
    return row.get(name, "") if isinstance(row, Mapping) else getattr(row, name, "")


def flat(row: Row) -> dict[str, Any]:
    """A row's fields as one level, as the CSV writes them.

    The fields of a field that is itself a row, or a named tuple, follow its name, as in `slope_low`. Booleans are true and
    false; texts of a tuple are joined by "; ".
    """
    found: dict[str, Any] = {}
    for name, value in _fields(row).items():
        if isinstance(value, tuple) and not hasattr(value, "_fields"):
            found[name] = "; ".join(map(str, value))
        elif isinstance(value, tuple) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
            found |= {f"{name}_{inner}": each for inner, each in flat(value).items()}
        else:
            found[name] = str(value).lower() if isinstance(value, bool) else value
    return found


def _fields(row: Row) -> dict[str, Any]:
    if isinstance(row, tuple):
        return dict(zip(row._fields, row, strict=True))  # type: ignore[attr-defined]
    if isinstance(row, Mapping):
        return dict(row)
    return {each.name: getattr(row, each.name) for each in dataclasses.fields(row)}


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
