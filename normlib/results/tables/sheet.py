"""A sheet: one table in words, as every writer reads it: Markdown, CSV, LaTeX, terminal and page.

In: what an analysis has to say. Out: titles, cells and notes as plain text, with the unrounded figures beside them.
This file computes nothing, and knows no file format: escaping is the writers' work.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EMPTY = "–"
"""What stands where there is no figure."""
ANALYSES = ("differences", "paired", "batch_size_effect", "speed", "workloads", "gap", "cost", "tuning")
"""The names of all tables but those of metrics, which are named after their metric (`metrics.table_name`)."""


@dataclass(frozen=True)
class Entry:
    """One cell: its words, the number that it sorts by (None: by its words), and whether it stands out."""

    text: str
    sort: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Line:
    """One row of cells; `arm` is the label on the rows' axis that it speaks of, by which a reader filters."""

    arm: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Sheet:
    """One table. Sheets with one `name` share their files, `<name>.md`, `.csv` and `.tex`, one below the other.

    The first `num_labels` columns name what a row is about, the others hold figures. `tidy` has what the CSV holds:
    one mapping a line, unrounded, figures of % metrics as fractions. `part` is the part of the page that it stands in (page/parts.py).
    """

    name: str
    title: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    tidy: tuple[Mapping[str, Any], ...] = ()
    num_labels: int = 1
    part: str = ""
    in_terminal: bool = True
    """Whether it is shown at the end of a comparison too, or in files and on the page only."""


def sorted_by(value: float) -> float | None:
    """What a column is sorted by: ∞ as the largest number, since JSON has no infinity; None where there is no number."""
    return None if math.isnan(value) else min(value, sys.float_info.max)


def number(label: str) -> float | None:
    """What a label is sorted by: its number, if it is one; JSON has none that are not finite."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def p_value(p: float) -> str:
    """A p value with two significant digits, down to 0.001."""
    if p != p:
        return EMPTY
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
