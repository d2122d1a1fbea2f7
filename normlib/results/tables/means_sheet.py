"""The main table in words: means ± half-widths, what broke, failed or was skipped, and the notes that say what they are.

In: `Means`s. Out: `Sheet`s. This file never computes a statistic.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping

from normlib.results.store.columns import UNKNOWN_SPLIT
from normlib.results.study import metrics
from normlib.results.study.metrics import difference_unit, figure, in_unit, scale, with_unit
from normlib.results.tables import reinitialized
from normlib.results.tables.means import Mean, Means
from normlib.results.tables.sheet import EMPTY, Cell, Line, Sheet
from normlib.results.tables.table import table_name
from normlib.tasks.metric import Metric

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


MAIN, METRICS = "main", "metrics"
"""The parts of the page for the metric that was asked for, and for the others of the task."""


def main_sheet(table: Means, part: str = MAIN) -> Sheet:
    """One section's table, under the name of its metric; those of other metrics are not shown in a terminal."""
    text = _Text(table)
    return Sheet(
        name=table_name(table.metric),
        title=text.title,
        header=(f"{table.row_axis} \\ {table.column_axis}", *map(text.header, table.columns)),
        lines=tuple(Line(row, (Cell(row), *(text.cell(table.cell(row, c)) for c in table.columns))) for row in table.rows),
        notes=tuple(text.notes()),
        tidy=tuple(
            _tidy(table, row, column, table.cells[row, column])
            for row, column in itertools.product(table.rows, table.columns)
            if (row, column) in table.cells
        ),
        part=part,
        in_terminal=part == MAIN,
    )  # fmt: skip


def title(value: str, metric: Metric, section: str) -> str:
    """A heading: the split and the metric with its unit, and the section."""
    words = in_unit(metrics.title(value, metric), metric.unit)
    return words[:1].upper() + words[1:] + (f", {section}" if section else "")


def _tidy(table: Means, row: str, column: str, cell: Mean) -> Mapping[str, object]:
    mean, half_width = ("" if math.isnan(x) else x for x in (cell.mean, cell.half_width))
    return {
        "section": table.section, "row": row, "column": column, "updates": table.updates.get(column, ""),
        "value": table.value, "mean": mean, "half_width": half_width, "n": cell.n, "diverged": cell.diverged,
        "failed": cell.failed, "skipped": cell.skipped, "in_best": str(cell.in_best).lower(),
    }  # fmt: skip


class _Text:
    """The words of one table: how its cells read, and its notes. Skip reasons are numbered as they are met."""

    def __init__(self, table: Means) -> None:
        self.table = table
        counts = Counter(cell.n for cell in table.cells.values() if cell.n).most_common(1)
        self.usual_n = counts[0][0] if counts else 0
        met = (table.cell(row, column).skip_reasons for row in table.rows for column in table.columns)
        reasons = dict.fromkeys(reason for found in met for reason in found)
        self.reasons = {reason: str(number).translate(_SUPERSCRIPTS) for number, reason in enumerate(reasons, 1)}
        self.title = title(table.value, table.metric, table.section)

    def header(self, column: str) -> str:
        """A column with the updates that its runs take."""
        updates = self.table.updates
        return f"{column} ({updates[column]} updates)" if column in updates else column

    def cell(self, cell: Mean) -> Cell:
        """One cell in words; an arm that cannot be told from the best stands out."""
        parts = []
        if cell.n:
            metric, half_width = self.table.metric, cell.half_width
            width = "" if math.isnan(half_width) else f" ± {figure(half_width, metric, width=half_width)}"
            number = f" (n={cell.n})" if cell.n != self.usual_n else ""
            parts.append(figure(cell.mean, metric, width=half_width) + width + number)
        if cell.diverged:
            parts.append(f"diverged {cell.diverged}/{cell.trained}")
        if cell.failed:
            parts.append(f"failed {cell.failed}/{cell.trained + cell.failed}")
        if cell.skipped:
            only = not (cell.trained or cell.failed)
            marks = "".join(self.reasons[reason] for reason in cell.skip_reasons)
            parts.append(("skipped" if only else f"skipped {cell.skipped}") + marks)
        return Cell(", ".join(parts) or EMPTY, cell.mean if cell.n else None, cell.in_best)

    def notes(self) -> list[str]:
        """What the numbers are, in the order in which a reader will ask."""
        table, cells = self.table, list(self.table.cells.values())
        notes, elsewhere = [], table.value.startswith(f"{UNKNOWN_SPLIT}.")
        if any(cell.n for cell in cells):
            width = "" if all(cell.n < 2 for cell in cells) else " ± half-width of its 95 % t interval"
            unless = "" if all(cell.n in (0, self.usual_n) for cell in cells) else ", unless a cell says otherwise"
            notes.append(f"Mean over seeds{width}; n = {self.usual_n}{unless}.")
        if any(cell.in_best for cell in cells):
            best = "highest" if table.metric.higher_is_better else "lowest"
            notes.append(
                f"Bold: cannot be told from the {best} mean of its column "
                "(the 95 % t interval of the difference, seed by seed, contains 0; one seed cannot tell)."
            )
        if any(cell.diverged for cell in cells):
            all_count = all(cell.n == cell.trained for cell in cells if cell.diverged)
            scored = "they count with what the broken network scores" + (
                "" if all_count else ", where that is a number"
            )
            what = "the figure is no finite number" if elsewhere else "the loss was no longer finite"
            notes.append(f"diverged k/n: in k of n trained runs {what}; {scored}.")
        if any(cell.failed for cell in cells):
            again = "" if elsewhere else "; `compare` tries again"
            notes.append(f"failed k/n: k of n runs stopped with an error and have no figures{again}.")
        notes += [f"{mark} skipped: {reason}" for reason, mark in self.reasons.items()]
        if table.test_samples and table.value.startswith("test."):
            step = f"{scale(table.metric) * table.metric.step / table.test_samples:.2g}"
            one = f", one is {with_unit(step, difference_unit(table.metric))}" if table.metric.step else ""
            notes.append(f"Test set: {table.test_samples:,} samples{one}.")
        notes += _parameters("Trunk", table.trunk_parameters) + reinitialized.notes(table.reinitialized_by_row)
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
