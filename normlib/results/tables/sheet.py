"""A sheet: one table in words, as every writer reads it: Markdown, CSV, LaTeX, terminal and page.

In: what an analysis has to say. Out: titles, cells and notes as plain text, with the unrounded figures beside them.
This file computes nothing, and knows no file format: escaping is the writers' work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from normlib.results.tables.table import EMPTY, Cell, Line, p_value
from normlib.results.tables.table import sort_key as sorted_by

__all__ = ["EMPTY", "Cell", "Line", "Sheet", "number", "p_value", "sorted_by"]


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
    view: str = ""


def number(label: str) -> float | None:
    """What a label is sorted by: its number, if it is one; JSON has none that are not finite."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
