"""The order of the page: which part holds which tables and figures. It follows from the registered tables.

In: tables, and figures by the name of the table that they were registered with. Out: `Part`s without the empty ones; nothing
is left out. This file knows no HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from normlib.results.plots.description import Figure
from normlib.results.tables.table import Table, registered_tables


@dataclass(frozen=True)
class Part:
    """A part of the page; `anchor` is its id, `introduction` a sentence for who has not read the documentation."""

    anchor: str
    heading: str
    introduction: str
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def parts(tables: Sequence[Table], figures: Mapping[str, Sequence[Figure]]) -> list[Part]:
    """The parts that have something to show; what belongs to no registered table comes last."""
    made = {each.name: Part(each.name, each.heading, each.introduction) for each in registered_tables().values()}
    others = Part("others", "Further tables", "Other analyses of the same runs.")
    for table in tables:
        made.get(table.part, others).tables.append(table)
    for name, own in figures.items():
        made.get(name, others).figures.extend(own)
    return [part for part in (*made.values(), others) if part.tables or part.figures]
