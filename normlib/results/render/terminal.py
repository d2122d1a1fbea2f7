"""Tables for a rich console. They fit its width: columns that do not stand beside each other go into a block of their own.

No word is broken, but for a name that is longer than its column may be. No name or reason acts as markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from normlib.results.tables.model import Cell, Table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table as RichTable

WIDEST_LABEL, WIDEST_FIGURE = 30, 24
"""Letters: a longer label is broken, so that figures have room; a longer text in a figure's column is prose, and wraps."""
GAP = 1
"""Blank columns between two columns of a table."""


@dataclass(frozen=True)
class Terminal:
    """The tables, laid out for the console that prints them."""

    tables: Sequence[Table]
    styled: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        for table in self.tables:
            yield Text(table.title + "\n", style="bold")
            for block in _blocks(table, self.styled, options.max_width):
                yield block
                yield Text("")
            notes = "\n".join(note if self.styled else re.sub("^Bold:", "*:", note) for note in table.notes)
            yield Text(f"{notes}\n", style="dim")


def terminal(tables: Sequence[Table], styled: bool = True) -> Terminal:
    """The tables for a rich console; where it cannot show bold (`styled` False), a star stands for it."""
    return Terminal(tables, styled)


def _blocks(table: Table, styled: bool, width: int) -> list[RichTable]:
    """The table, or the table cut between columns, the labels ahead of each piece."""
    if not table.lines:
        return []
    columns = [
        [
            _head(name, place < table.num_labels),
            *(_text(line.cells[place], place < table.num_labels, styled) for line in table.lines),
        ]
        for place, name in enumerate(table.header)
    ]
    least = [_least_width(texts, place < table.num_labels) for place, texts in enumerate(columns)]
    labels = list(range(table.num_labels))
    blocks: list[list[int]] = [[*labels]]
    for place in range(table.num_labels, len(columns)):
        if len(blocks[-1]) > len(labels) and sum(least[each] + GAP for each in (*blocks[-1], place)) > width + GAP:
            blocks.append([*labels])
        blocks[-1].append(place)
    return [_grid(table, block, columns, least, width) for block in blocks]


def _grid(table: Table, places: Sequence[int], columns: Sequence[Sequence[str]], least: Sequence[int], width: int) -> RichTable:  # fmt: skip
    """Some columns beside each other; those that could use more than they need at least share what is left."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    left = width - sum(least[place] + GAP for place in places) + GAP
    for place in places:
        is_label = place < table.num_labels
        more = 0 if is_label else max(len(line) for text in columns[place] for line in text.split("\n")) - least[place]
        more = max(0, min(more, left))
        left -= more
        side: Literal["left", "right"] = "left" if is_label else "right"
        grid.add_column(Text(columns[place][0]), justify=side, overflow="fold", width=least[place] + more)
    for number, line in enumerate(table.lines, 1):
        grid.add_row(*(Text(columns[place][number], "bold" if line.cells[place].strong else "") for place in places))
    return grid


def _head(name: str, is_label: bool) -> str:
    if is_label:
        return name.replace(" \\ ", " \\\n")
    return name.replace(" (", "\n(", 1).replace(" updates)", ")")


def _text(cell: Cell, is_label: bool, styled: bool) -> str:
    """A figure with what belongs to it below; labels and prose as they are."""
    text = cell.text
    if not is_label and len(text) <= 2 * WIDEST_FIGURE:
        text = text.replace("± ", "±").replace(", ", "\n").replace(" (", "\n(", 1)
    return text + ("*" if cell.strong and not styled else "")


def _least_width(texts: Sequence[str], is_label: bool) -> int:
    """What a column needs so that no word is broken, and no figure."""
    lines = [line for text in texts for line in text.split("\n")]
    if is_label:
        return min(max(map(len, lines)), WIDEST_LABEL)
    words = (min(len(word), WIDEST_LABEL) for line in lines for word in line.split())
    return max(1, *words, *(len(line) for line in lines if len(line) <= WIDEST_FIGURE))
