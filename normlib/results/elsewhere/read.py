"""A file of runs becomes a frame: CSV, TSV, Parquet, JSON lines or JSON, a row a run.

In: a path. Out: a frame (frames.py), or a TableError for a file that is not what its suffix says.
"""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from normlib.results.elsewhere.frames import TableError, check_names, frame_of_rows, plain_frame, typed
from normlib.results.store.quoting import short


def read_table(path: Path) -> pd.DataFrame:
    """The runs in a file, by its suffix. TableError for a file that is absent, empty or not what its suffix says."""
    if path.suffix.lower() not in READERS:
        raise TableError(
            f"a table of runs is a file that ends in {', '.join(READERS)}, and {path} does not; save it as one"
        )
    if not path.is_file():
        raise TableError(f"there is no file {path}; name a table of runs, such as runs.csv")
    try:
        table = READERS[path.suffix.lower()](path)
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror or error}); permit it") from None
    if not len(table):
        raise TableError(f"{path} holds no runs: a table has a line of names and a row for each run")
    return table


def _separated(path: Path, separator: str) -> pd.DataFrame:
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            lines = [line for line in csv.reader(file, delimiter=separator, strict=True) if line]
        except csv.Error as error:
            raise TableError(f"{path} is not a table with {short(separator)} between its columns ({error})") from None
    if not lines:
        return pd.DataFrame()
    names, *rows = lines
    if len(names) == 1 and any(mark in names[0] for mark in ",;\t"):
        raise TableError(f"{path} has one column, {short(names[0])}: put {short(separator)} between its columns")
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise TableError(f"{path} has {len(names)} columns, and line {number} has {len(row)}; give it as many")
    names = [name or f"column {place}" for place, name in enumerate(names, 1)]  # pandas writes its index without a name
    check_names(names)
    return _of_columns({name: typed(name, cells) for name, cells in zip(names, zip(*rows, strict=True), strict=False)})


def _of_columns(columns: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    return frame_of_rows([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def _json_lines(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TableError(
                f"line {number} of {path} is not JSON ({error}); each line holds one object, a run"
            ) from None
        if not isinstance(row, Mapping):
            raise TableError(f"line {number} of {path} has to hold one object, a run, and holds {short(row)}")
        rows.append(row)
    return frame_of_rows(rows)


def _json(path: Path) -> pd.DataFrame:
    """A list of objects, as `json.dump` writes the runs of `wandb.Api`; lists by column, and an object a line, are taken too."""
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return _json_lines(path)
    by_column = isinstance(values, Mapping) and all(isinstance(each, list) for each in values.values())
    if by_column and len({len(each) for each in values.values()}) == 1:
        return _of_columns(values)
    if not isinstance(values, list) or not all(isinstance(row, Mapping) for row in values):
        raise TableError(f"{path} has to hold a list with an object for each run, and holds {short(values)}")
    return frame_of_rows(values)


def _parquet(path: Path) -> pd.DataFrame:
    if importlib.util.find_spec("pyarrow") is None:
        raise TableError(
            f"{path} needs the package pyarrow, which is not installed: pip install 'normlib[parquet]', or save it as .csv"
        )
    try:
        table = pd.read_parquet(path, engine="pyarrow")
    except ValueError as error:
        raise TableError(f"{path} is no Parquet file ({short(str(error))})") from None
    return plain_frame(table) if len(table) else table


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: _separated(path, ","), ".tsv": lambda path: _separated(path, "\t"), ".parquet": _parquet,
    ".jsonl": _json_lines, ".json": _json,
}  # fmt: skip
"""By the suffix of a file, what reads it."""
