"""The order of the page: which part holds which tables and plots.

In: sheets and plots. Out: `Part`s without the empty ones; no sheet is ever left out. This file knows no HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normlib.results.plots.by_column import METRIC
from normlib.results.plots.description import Plot
from normlib.results.tables.means import MAIN
from normlib.results.tables.table import Table, registered_tables


@dataclass(frozen=True)
class Part:
    """A part of the page; `anchor` is its id, `introduction` a sentence for who has not read the documentation."""

    anchor: str
    heading: str
    introduction: str
    sheets: Sequence[Table] = ()
    plots: Sequence[Plot] = ()

    def folds(self, sheet: Table) -> bool:
        """Whether a table is folded behind its title: it is long, no main table, and the part shows something else."""
        shorter = any(len(other.lines) <= LONGEST_OPEN for other in self.sheets)
        alone = not shorter and not self.plots and sheet is self.sheets[0]
        return len(sheet.lines) > LONGEST_OPEN and self.anchor != MAIN and not alone


LONGEST_OPEN = 20
"""Rows of a table that is always open."""
ON_TRUST = (
    "Differences are taken between runs of one seed, on trust: no hash shows that they share their start and their batches. p is "
    "exact, from all ways to flip the differences' signs, and corrected (Holm) over the table."
)
"""The introduction of the paired tables where runs carry no hashes."""
PLOTS = {METRIC: MAIN, "differences": "differences", "curves": "speed", "gap": "gap", "cost": "cost"}
"""The part of each plot."""
OTHERS = ("others", "Further tables", "Other analyses of the same runs.")


def parts(sheets: Sequence[Table], plots: Sequence[Plot], hashed: bool = True) -> list[Part]:
    """The parts that have something to show. `hashed`: whether runs carry hashes, by which pairs are verified."""
    outline = [(each.name, each.heading, each.introduction) for each in registered_tables().values() if each.heading]
    known = {name for name, _, _ in outline}
    by_part: dict[str, list[Table]] = {}
    for sheet in sheets:
        by_part.setdefault(sheet.part if sheet.part in known else OTHERS[0], []).append(sheet)
    made = [
        Part(name, heading, introduction, by_part.get(name, []), [plot for plot in plots if PLOTS[plot.name] == name])
        for name, heading, told in (*outline, OTHERS)
        for introduction in [told if hashed or name != "differences" else ON_TRUST]
    ]
    return [part for part in made if part.sheets or part.plots]
