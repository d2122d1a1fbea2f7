"""The main table in words: means ± half-widths, what broke, failed or was skipped, and the notes that say what they are.

In: `Table`s. Out: `Sheet`s. This file never computes a statistic.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping

from normlib.results import anew
from normlib.results.sheet import EMPTY, Entry, Line, Sheet
from normlib.results.tables import Cell, Table, lower_is_better

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def main_sheet(table: Table) -> Sheet:
    """One section's table, under the name of its value: "accuracy" for the accuracy on the test set."""
    text = _Text(table)
    return Sheet(
        name=table.value.rpartition(".")[2],
        title=text.title,
        header=(f"{table.row_axis} \\ {table.column_axis}", *map(text.header, table.columns)),
        lines=tuple(Line(row, (Entry(row), *(text.entry(table.cell(row, c)) for c in table.columns))) for row in table.rows),
        notes=tuple(text.notes()),
        tidy=tuple(
            _tidy(table, row, column, table.cells[row, column])
            for row, column in itertools.product(table.rows, table.columns)
            if (row, column) in table.cells
        ),
    )  # fmt: skip


def title(value: str, section: str) -> str:
    """A heading: the quantity, with % for accuracies, and the section."""
    words = value.replace(".", " ").replace("_", " ") + (" in %" if value.endswith("accuracy") else "")
    return words[:1].upper() + words[1:] + (f", {section}" if section else "")


def _tidy(table: Table, row: str, column: str, cell: Cell) -> Mapping[str, object]:
    mean, half_width = ("" if math.isnan(x) else x for x in (cell.mean, cell.half_width))
    return {
        "section": table.section, "row": row, "column": column, "updates": table.updates.get(column, ""),
        "value": table.value, "mean": mean, "half_width": half_width, "n": cell.n, "diverged": cell.diverged,
        "failed": cell.failed, "skipped": cell.skipped, "in_best": str(cell.in_best).lower(),
    }  # fmt: skip


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
        self.title = title(table.value, table.section)

    def header(self, column: str) -> str:
        """A column with the updates that its runs take."""
        updates = self.table.updates
        return f"{column} ({updates[column]} updates)" if column in updates else column

    def number(self, value: float) -> str:
        """One decimal for percentages (a tenth of a point), four digits for anything else."""
        return f"{100 * value:.1f}" if self.percent else f"{value:.4g}"

    def entry(self, cell: Cell) -> Entry:
        """One cell in words; an arm that cannot be told from the best stands out."""
        parts = []
        if cell.n:
            width = "" if math.isnan(cell.half_width) else f" ± {self.number(cell.half_width)}"
            parts.append(self.number(cell.mean) + width + (f" (n={cell.n})" if cell.n != self.usual_n else ""))
        if cell.diverged:
            parts.append(f"diverged {cell.diverged}/{cell.trained}")
        if cell.failed:
            parts.append(f"failed {cell.failed}/{cell.trained + cell.failed}")
        if cell.skipped:
            only = not (cell.trained or cell.failed)
            marks = "".join(self.reasons[reason] for reason in cell.skip_reasons)
            parts.append(("skipped" if only else f"skipped {cell.skipped}") + marks)
        return Entry(", ".join(parts) or EMPTY, cell.mean if cell.n else None, cell.in_best)

    def notes(self) -> list[str]:
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
                f"Bold: cannot be told from the {best} mean of its column "
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
        notes += _parameters("Trunk", table.trunk_parameters) + anew.notes(table.started_anew)
        notes += _parameters("Norm", table.norm_parameters)
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
