"""The order of the page: which part holds which tables and plots.

In: sheets and plots. Out: `Part`s without the empty ones; no sheet is ever left out. This file knows no HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normlib.results.page.plots import Plot
from normlib.results.sheet import Sheet


@dataclass(frozen=True)
class Part:
    """A part of the page; `anchor` is its id, `introduction` a sentence for who has not read the documentation."""

    anchor: str
    heading: str
    introduction: str
    sheets: Sequence[Sheet] = ()
    plots: Sequence[Plot] = ()

    def folds(self, sheet: Sheet) -> bool:
        """Whether a table is folded behind its title: it is long, no main table, and the part shows something else."""
        shorter = any(len(other.lines) <= LONGEST_OPEN for other in self.sheets)
        alone = not shorter and not self.plots and sheet is self.sheets[0]
        return len(sheet.lines) > LONGEST_OPEN and self.anchor != MAIN and not alone


LONGEST_OPEN = 20
"""Rows of a table that is always open."""
MAIN = "main"
"""The part of the main tables, whose sheets are named by the value that they hold."""
OUTLINE = (
    (
        MAIN, "Results",
        "Every arm in every condition. A click on a column’s heading sorts, one on a name below a plot hides that name "
        "everywhere. Hover over a point, or tap it, for the figure of each replicate.",
    ),
    (
        "paired", "Against the baseline",
        "Differences are taken replicate by replicate between runs that share trunk, batches and schedule; p is exact, "
        "from all ways to flip the differences' signs, and corrected (Holm) over the table. What shares less is compared as "
        "two samples, and says so.",
    ),
    ("tuning", "How settings were chosen", "Every arm gets the same trials, and the best mean validation figure chooses."),
    ("batch_size_effect", "What the batch size does", "The effect of the batch size as one number for each norm."),
    ("speed", "Speed to accuracy", "How soon a target is reached that was set beforehand. Never reaching it counts as infinite."),
    ("tasks", "Across tasks", "What holds over several tasks at once. A task is a model on a dataset."),
    ("gap", "Train minus test", "How much better a network does on the samples that it was trained on."),
    ("cost", "Cost", "What a norm takes in time, memory and parameters, on the machines named below."),
)  # fmt: skip
"""Parts in order: the name that their sheets have, heading, introduction. Those of the differences are with the paired."""
PLOTS = {"accuracy": MAIN, "differences": "paired", "curves": "speed", "gap": "gap", "cost": "cost"}
"""The part of each plot."""
OTHERS = ("others", "Further tables", "Other analyses of the same runs.")


def parts(value: str, sheets: Sequence[Sheet], plots: Sequence[Plot]) -> list[Part]:
    """The parts that have something to show; `value` is what the main tables hold, such as test.accuracy."""
    part_of = {value.rpartition(".")[2]: MAIN, "differences": "paired", **{name: name for name, _, _ in OUTLINE}}
    by_part: dict[str, list[Sheet]] = {}
    for sheet in sheets:
        # A second view of the same runs has sheets of the same names with a suffix.
        known = [name for name in part_of if sheet.name == name or sheet.name.startswith(f"{name}_")]
        by_part.setdefault(part_of[known[0]] if known else OTHERS[0], []).append(sheet)
    made = [
        Part(name, heading, introduction, by_part.get(name, []), [plot for plot in plots if PLOTS[plot.name] == name])
        for name, heading, introduction in (*OUTLINE, OTHERS)
    ]
    return [part for part in made if part.sheets or part.plots]
