"""Exports the frame of runs as one file for other programs: Parquet, CSV or JSON lines, by the file's suffix.

In: the frame and a path. Out: the file, replaced whole, with one row per run and every column of the frame. If the path
is a link, the file that it leads to is written. Settings keep their types if the format has them. This file never drops
a row or a column.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from normlib.errors import NormlibError
from normlib.results.store.files import StoreError, write_atomically
from normlib.results.study.axes import as_text


class ExportError(NormlibError, ValueError):
    """A file cannot be written as asked. The message states the rule, what came and the fix."""


def export(runs: pd.DataFrame, path: Path) -> Path:
    """Write the runs to `path` in the format of its suffix, and return the path. Raises ExportError if that fails."""
    check_path(path)
    try:
        write_atomically(Path(os.path.realpath(path)), WRITERS[path.suffix](runs))
    except StoreError as error:
        raise ExportError(f"{path} cannot be written ({_why(error)}); permit it, or choose another place") from error
    return path


def check_path(path: Path) -> None:
    """Refuse a path that no export can be written to, before any results are read. Raises ExportError."""
    if path.suffix not in WRITERS:
        raise ExportError(
            f"the format follows from the file's suffix, one of {', '.join(WRITERS)}, but {path} has none of them"
        )
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ExportError(
            f"{path} needs the package pyarrow, which is not installed: pip install 'normlib[parquet]', or choose .csv or .jsonl"
        )
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"is in a folder, {path.parent}, that does not exist"
        raise ExportError(f"an export is a file in a folder that exists, but {path} {what}")
    if path.exists() and not path.is_file():
        raise ExportError(f"an export is a plain file, but {path} is a pipe or a device; choose another name")


def _parquet(runs: pd.DataFrame) -> bytes:
    """Parquet has one type per column. If a column mixes numbers, words and truth values, all become text as typed."""
    runs = runs.copy()
    for name, column in runs.items():
        if pd.api.types.is_object_dtype(column) and len({type(value) for value in column.dropna()}) > 1:
            runs[name] = column.map(as_text, na_action="ignore")
    file = io.BytesIO()
    runs.to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()


def _csv(runs: pd.DataFrame) -> bytes:
    return runs.to_csv(index=False, lineterminator="\n").encode()


def _json_lines(runs: pd.DataFrame) -> bytes:
    """One JSON object per run, with null for missing values. Floats are written with all their digits."""
    plain: list[dict[Any, Any]] = runs.astype(object).where(runs.notna(), None).to_dict("records")
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in plain).encode()


def _why(error: BaseException) -> str:
    cause = error.__cause__
    return (cause.strerror if isinstance(cause, OSError) else None) or str(error)


WRITERS: dict[str, Callable[[pd.DataFrame], bytes]] = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}
