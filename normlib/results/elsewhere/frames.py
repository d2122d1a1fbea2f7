"""Values of runs become a frame with one kind of value a column.

In: rows or columns of plain values, as a file or a frame of a user's holds them. Out: a frame. Numbers are numbers, truth
values are truth values, an empty cell is None, and every other text stays as it is: an arm called "None" or "NA" keeps its
name. Nested values, such as the `config` and `summary` of a W&B run, become columns with a dot: `config.lr`. This file opens
no file and never asks what a column means.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from normlib.errors import NormlibError
from normlib.results.store.quoting import short

WRAPPED = ({"value"}, {"value", "desc"})
"""The keys of a setting as W&B stores it: the value, and at times a description."""
TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
WORDS_FOR_NO_NUMBER = frozenset({"nan", "inf", "infinity", "-inf", "-infinity", "+inf", "+infinity"})
LONGEST_NUMBER = 300
"""Characters; a longer whole number is no float."""
ALWAYS_TEXT = ("hashes.", "code.")
"""Columns of normlib's own whose values are texts even where all their digits happen to be decimal; so is `id`."""


class TableError(NormlibError, ValueError):
    """A table of runs that cannot be read or compared; the message states the rule, what came and the fix."""


def plain_frame(table: pd.DataFrame) -> pd.DataFrame:
    """A frame that was made in Python, in the same shape as one that was read: nested values as columns, None where empty."""
    if not len(table):
        raise TableError("the frame holds no runs: it has to have a row for each")
    if any(name is not None and name not in table.columns for name in table.index.names):
        table = table.reset_index()  # what a user made the index of is a column here
    check_names([str(name) for name in table.columns])
    plain = table.astype(object).where(table.notna(), None)
    return frame_of_rows(
        [dict(zip(map(str, table.columns), row, strict=True)) for row in plain.itertuples(index=False, name=None)]
    )


def frame_of_rows(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame with a row for each mapping; what is nested gets columns of its own, and what a row lacks is None."""
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    return pd.DataFrame({name: _column([row.get(name) for row in flat]) for name in names})


def check_names(names: Sequence[str]) -> None:
    """Refuse two columns of one name. TableError."""
    for name in names:
        if list(names).count(name) > 1:
            raise TableError(
                f"a column has a name of its own, and {list(names).count(name)} are called {short(name)}; rename them"
            )


def typed(name: str, cells: Sequence[str]) -> Sequence[Any]:
    """The texts of one column of a CSV: all numbers, or all truth values, or texts. Empty cells are None."""
    texts = [None if cell == "" else cell for cell in cells]
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
    if (
        not 0 < len(text) <= LONGEST_NUMBER
        or "_" in text
        or not (text[-1].isdigit() or text[-1] == "." or text.lower() in WORDS_FOR_NO_NUMBER)
    ):
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _unfolded(cell: str) -> Any:
    """A cell that holds a whole mapping, as JSON or as Python writes it; any other text as it is."""
    if cell[:1] != "{" or cell[-1:] != "}":
        return cell
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, dict) else cell
    return cell


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level of names: {"config": {"lr": 0.1}} becomes {"config.lr": 0.1}; lists become JSON text."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and set(value) in WRAPPED:
            value = value["value"]
        if isinstance(value, str) and value[:1] == "{":
            value = _unfolded(value)
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = json.dumps(value, default=str) if isinstance(value, list | tuple) else _plain(value)
    return flat


def _column(values: list[Any]) -> pd.Series | pd.api.extensions.ExtensionArray:
    """Whole numbers stay whole where some rows have none; kinds that mix stay objects."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int} and all(abs(value) < 2**63 for value in values if value is not None):
        return pd.array(values, dtype="Int64") if None in values else pd.Series(values, dtype="int64")
    if kinds and kinds <= {int, float}:
        return pd.Series([math.nan if value is None else float(value) for value in values], dtype="float64")
    if kinds == {bool} and None not in values:
        return pd.Series(values, dtype=bool)
    return pd.Series(values, dtype=object)


def _plain(value: Any) -> Any:
    """A value as Python has it."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
