"""Plain values become a frame with one kind of value a column.

In: rows or columns, as a file or a frame of a user's holds them. Out: a frame. Numbers and truth values get their types, an
empty cell is None, and any other text stays as it is: an arm called "None" or "NA" keeps its name. Nested values, such as the
`config` and `summary` of a W&B run, become columns with a dot: `config.lr`. What a column means is decided elsewhere.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from normlib.errors import NormlibError
from normlib.results.store.quoting import short

WRAPPED = ({"value"}, {"value", "desc"})
"""The keys of a setting as W&B stores it: the value, and at times a description."""
TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
NUMBER = re.compile(r"nan|[+-]?(inf|infinity|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)", re.ASCII | re.IGNORECASE)
LONGEST_NUMBER = 300
"""Characters; a longer whole number is no float."""
ALWAYS_TEXT = ("hashes.", "code.")
"""Columns of normlib's own whose values are texts even where all their digits happen to be decimal; so is `id`."""


class TableError(NormlibError, ValueError):
    """A table of runs that cannot be read or compared; the message states the rule, what came and the fix."""


def plain_frame(table: pd.DataFrame) -> pd.DataFrame:
    """A frame that was made in Python, in the same shape as one that was read. TableError for one without rows."""
    if not len(table):
        raise TableError("the frame holds no runs: it has to have a row for each")
    if any(name is not None and name not in table.columns for name in table.index.names):
        table = table.reset_index()  # what a user made the index is a column here
    names = [str(name) for name in table.columns]
    check_names(names)
    plain = table.astype(object).where(table.notna(), None)
    return frame_of_rows([dict(zip(names, row, strict=True)) for row in plain.itertuples(index=False, name=None)])


def frame_of_rows(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame with a row for each mapping; what is nested gets columns of its own, and what a row lacks is None."""
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    return pd.DataFrame({name: _column([row.get(name) for row in flat]) for name in names})


def check_names(names: Sequence[str]) -> None:
    """TableError for two columns of one name."""
    for name, count in Counter(names).most_common(1):
        if count > 1:
            raise TableError(f"each column has a name of its own, and {count} are called {short(name)}; rename them")


def typed(name: str, cells: Sequence[str]) -> Sequence[Any]:
    """The texts of one column of a CSV: all numbers, or all truth values, or texts. Empty cells are None."""
    texts = [cell or None for cell in cells]
    present = [text for text in texts if text is not None]
    if name == "id" or name.startswith(ALWAYS_TEXT):
        return texts
    if present and all(text in TRUTHS for text in present):
        return [None if text is None else TRUTHS[text] for text in texts]
    numbers = [None if text is None else number_in(text) for text in texts]
    real = [number for number in numbers if number is not None]
    return numbers if len(real) == len(present) and any(map(math.isfinite, real)) else texts


def number_in(text: str) -> int | float | None:
    """The number that a text is; whole ones stay whole. None for any other text, "1_000" too."""
    text = text.strip()
    if len(text) > LONGEST_NUMBER or not NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level of names: {"config": {"lr": 0.1}} becomes {"config.lr": 0.1}; lists become JSON text."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and set(value) in WRAPPED:
            value = value["value"]
        if isinstance(value, str):
            value = _unfolded(value)
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            flat[name] = json.dumps(value, default=str)
        else:  # a number of NumPy's as Python has it
            flat[name] = value.item() if getattr(value, "ndim", None) == 0 else value
    return flat


def _unfolded(cell: str) -> Any:
    """A cell that holds a whole mapping, as JSON or as Python writes it; any other text as it is."""
    if cell[:1] == "{" and cell[-1:] == "}":
        for parse in (json.loads, ast.literal_eval):
            try:
                value = parse(cell)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return value if isinstance(value, dict) else cell
    return cell


def _column(values: list[Any]) -> pd.Series | pd.api.extensions.ExtensionArray:
    """Whole numbers stay whole where some rows have none; a column of several kinds holds objects."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int} and all(abs(value) < 2**63 for value in values if value is not None):
        return pd.array(values, dtype="Int64") if None in values else pd.Series(values, dtype="int64")
    if kinds and kinds <= {int, float}:
        return pd.Series([math.nan if value is None else float(value) for value in values], dtype="float64")
    return pd.Series(values, dtype=bool if kinds == {bool} and None not in values else object)
