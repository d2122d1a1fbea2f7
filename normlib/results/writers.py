"""Tables as text: Markdown, tidy CSV, and rich tables for a terminal, all with the notes that say what the numbers are.

In: `Table`s. Out: strings, or rich objects. This file never computes a statistic.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from normlib.results.tables import Cell, Table, lower_is_better

if TYPE_CHECKING:
    from rich.console import Group

EMPTY = "–"
WIDEST_LABEL, NARROWEST_CELL = 30, 6  # of a terminal's columns: a long name of an arm leaves room for the figures
CSV_COLUMNS = (
    "section", "row", "column", "updates", "value", "mean", "half_width", "n",
    "diverged", "failed", "skipped", "in_best",
)  # fmt: skip
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def markdown(tables: Sequence[Table]) -> str:
    """All tables, each under its section's heading and followed by its notes."""
    parts = []
    for table in tables:
        text = _Text(table)
        lines = [f"### {_escaped(text.title)}", ""]
        headers = [_escaped(text.header(column)) for column in table.columns]
        lines.append(_line([f"{table.row_axis} \\ {table.column_axis}", *headers]))
        lines.append("|:---" + "|---:" * len(table.columns) + "|")
        for row in table.rows:
            cells = (table.cell(row, column) for column in table.columns)
            lines.append(_line([_escaped(row), *(text.cell(cell, bold="**{}**") for cell in cells)]))
        parts.append("\n".join([*lines, "", *(f"- {_escaped(note)}" for note in text.notes())]) + "\n")
    return "\n".join(parts)


def tidy_csv(tables: Sequence[Table]) -> str:
    """One line a cell, numbers unrounded and in the value's own unit (accuracies as fractions)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in tables:
        for row, column in itertools.product(table.rows, table.columns):
            cell = table.cells.get((row, column))
            if cell is None:
                continue
            updates = table.updates.get(column, "")
            numbers = ["" if math.isnan(x) else x for x in (cell.mean, cell.half_width)]
            counts = [cell.n, cell.diverged, cell.failed, cell.skipped, str(cell.in_best).lower()]
            writer.writerow([table.section, row, column, updates, table.value, *numbers, *counts])
    return out.getvalue()


def terminal(tables: Sequence[Table], styled: bool = True) -> Group:
    """The same tables for a rich console; where it cannot show bold (`styled` False), a star stands for it."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown: list[RichTable | Text] = []
    for table in tables:
        text = _Text(table)
        title = f"{text.title}; columns: {table.column_axis}" + (" (updates)" if table.updates else "")
        grid = RichTable(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
        grid.add_column(Text(table.row_axis), overflow="fold", max_width=WIDEST_LABEL)
        for column in table.columns:
            updates = f"\n({table.updates[column]})" if column in table.updates else ""
            grid.add_column(Text(column + updates), justify="right", overflow="fold", min_width=NARROWEST_CELL)
        for row in table.rows:
            cells = [table.cell(row, column) for column in table.columns]
            best = "{}" if styled else "{}*"
            words = (text.cell(cell, best).replace("± ", "±").replace(", ", "\n") for cell in cells)
            styles = ("bold" if cell.in_best else "" for cell in cells)
            grid.add_row(Text(row), *(Text(word, style) for word, style in zip(words, styles, strict=True)))
        shown += [
            Text(title + "\n", style="bold"),
            grid,
            Text("\n" + "\n".join(text.notes("Bold" if styled else "*")) + "\n", style="dim"),
        ]
    return Group(*shown)


class _Text:
    """The words of one table: how its cells read, and its notes. Skip reasons are numbered as they are met."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.percent = table.value.endswith("accuracy")
        counts = Counter(cell.n for cell in table.cells.values() if cell.n).most_common(1)
        self.usual_n = counts[0][0] if counts else 0
        met = (table.cell(row, column).skip_reasons for row in table.rows for column in table.columns)
        reasons = dict.fromkeys(reason for found in met for reason in found)
        self.reasons = {reason: str(number).translate(_SUPERSCRIPTS) for number, reason in enumerate(reasons, 1)}
        self.quantity = table.value.replace(".", " ").replace("_", " ") + (" in %" if self.percent else "")
        self.title = self.quantity[:1].upper() + self.quantity[1:] + (f", {table.section}" if table.section else "")

    def header(self, column: str) -> str:
        """A column with the updates that its runs take."""
        updates = self.table.updates
        return f"{column} ({updates[column]} updates)" if column in updates else column

    def number(self, value: float) -> str:
        """One decimal for percentages (a tenth of a point), four digits for anything else."""
        return f"{100 * value:.1f}" if self.percent else f"{value:.4g}"

    def cell(self, cell: Cell, bold: str = "{}") -> str:
        """One cell in words; `bold` wraps the mean of an arm that cannot be told from the best."""
        parts = []
        if cell.n:
            width = "" if math.isnan(cell.half_width) else f" ± {self.number(cell.half_width)}"
            parts.append((bold if cell.in_best else "{}").format(self.number(cell.mean) + width))
            if cell.n != self.usual_n:
                parts[0] += f" (n={cell.n})"
        if cell.diverged:
            parts.append(f"diverged {cell.diverged}/{cell.trained}")
        if cell.failed:
            parts.append(f"failed {cell.failed}/{cell.trained + cell.failed}")
        if cell.skipped:
            only = not (cell.trained or cell.failed)
            marks = "".join(self.reasons[reason] for reason in cell.skip_reasons)
            parts.append(("skipped" if only else f"skipped {cell.skipped}") + marks)
        return ", ".join(parts) or EMPTY

    def notes(self, best_mark: str = "Bold") -> list[str]:
        """What the numbers are, in the order in which a reader will ask."""
        table, cells = self.table, list(self.table.cells.values())
        notes = []
        if any(cell.n for cell in cells):
            width = "" if all(cell.n < 2 for cell in cells) else " ± half-width of its 95 % t interval"
            unless = "" if all(cell.n in (0, self.usual_n) for cell in cells) else ", unless a cell says otherwise"
            notes.append(f"Mean over seeds{width}; n = {self.usual_n}{unless}.")
        if any(cell.in_best for cell in cells):
            best = "lowest" if lower_is_better(table.value) else "highest"
            notes.append(
                f"{best_mark}: cannot be told from the {best} mean of its column "
                "(the 95 % t interval of the difference, seed by seed, contains 0; one seed cannot tell)."
            )
        if any(cell.diverged for cell in cells):
            scored = "they count with what the broken network scores" if self.percent else "such values are left out"
            notes.append(f"diverged k/n: in k of n trained runs the loss was no longer finite; {scored}.")
        if any(cell.failed for cell in cells):
            notes.append("failed k/n: k of n runs stopped with an error and have no figures; `compare` tries again.")
        notes += [f"{mark} skipped: {reason}" for reason, mark in self.reasons.items()]
        if table.test_samples and self.percent and table.value.startswith("test."):
            notes.append(f"Test set: {table.test_samples} samples, one is {100 / table.test_samples:.2g} points.")
        notes += _parameters("Trunk", table.trunk_parameters) + _parameters("Norm", table.norm_parameters)
        if table.constant:
            notes.append("The same in all runs: " + ", ".join(f"{k}={v}" for k, v in table.constant.items()) + ".")
        return notes


def _parameters(kind: str, by_row: Mapping[str, tuple[int, int]]) -> list[str]:
    """What differs in parameters is no secret: every number with the rows that have it."""
    rows_by_count: dict[tuple[int, int], list[str]] = {}
    for row, count in by_row.items():
        rows_by_count.setdefault(count, []).append(row)
    if not rows_by_count:
        return []
    said = {(low, high): f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in rows_by_count}
    if len(said) == 1:
        return [f"{kind} parameters: {next(iter(said.values()))} in every row."]
    each = (f"{said[count]} ({', '.join(rows)})" for count, rows in rows_by_count.items())
    return [f"{kind} parameters: {'; '.join(each)}."]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: no cell border, no line break, no tag, no bold."""
    for character, safe in (("|", "\\|"), ("\n", " "), ("<", "&lt;"), ("*", "\\*")):
        text = text.replace(character, safe)
    return text
