"""Tables as tidy CSV: the rows of all, unrounded, a line each, under one header. What is missing is empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from normlib.results.tables.model import Table


def tidy_csv(tables: Sequence[Table]) -> str:
    """The rows of all tables; "" without any."""
    rows = [row for table in tables for row in table.tidy]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if value is None or value != value else value for name, value in row.items()} for row in rows
    )
    return out.getvalue()
