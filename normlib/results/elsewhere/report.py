"""A report on numbers that were made elsewhere: every table, figure and the page, from a file or a frame of runs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from normlib.results.elsewhere.frames import TableError
from normlib.results.elsewhere.own import asked_rows
from normlib.results.elsewhere.read import READERS, read_table
from normlib.results.elsewhere.rows import Asked
from normlib.results.store.places import user_path

if TYPE_CHECKING:
    from normlib.results.report import Report

WIDTH = "figures.width="


def report_on_table(
    runs: pd.DataFrame | str | os.PathLike[str],
    asked: Asked,
    to: str | os.PathLike[str] | None,
    overwrite: bool,
    figures_width: str,
) -> Report:
    """`normlib.report` of one table of runs: a frame, or a file."""
    given = {**vars(asked), "to": to and str(to), "figures_width": None if figures_width == "text" else figures_width}
    words = [f"{name}={value!r}" for name, value in given.items() if value not in (None, ())]
    told = "runs" if isinstance(runs, pd.DataFrame) else repr(str(runs))
    return _report(runs, asked, to, overwrite, f"normlib.report({', '.join([told, *words])})", figures_width)


def files_among(arguments: Sequence[str]) -> list[str]:
    """Which words of a command line name a table of runs: those that end like one, and are no setting and no folder."""
    tables = [each for each in arguments if Path(each).suffix.lower() in READERS]
    return [each for each in tables if ("=" not in each and not os.path.isdir(each)) or os.path.isfile(each)]


def report_on_file(
    arguments: Sequence[str], flags: Mapping[str, str | bool | None], to: str | None, overwrite: bool
) -> Report:
    """`normlib report FILE` with its flags, by name; `plugins=` and `figures.width=` may stand beside the file.

    TableError for other words, and flags without a file.
    """
    files = files_among(arguments) or [each for each in arguments if os.path.isfile(each)]
    if len(files) != 1:
        came = f"{', '.join(files)} were named" if files else "none was named"
        raise TableError(
            f"the flags --arm, --seed, --metric, ... belong to one table of runs, such as runs.csv, and {came}"
        )
    settings = [each for each in arguments if each.startswith(("plugins=", WIDTH))]  # plugins were loaded by the caller
    if others := [each for each in arguments if each not in (*files, *settings)]:
        raise TableError(
            f"with a table of runs settings are flags, such as --baseline group, and {' '.join(others)} is none; to leave runs out, "
            "take their rows out of the table"
        )
    lower, higher = bool(flags["lower_is_better"]), bool(flags["higher_is_better"])
    if lower and higher:
        raise TableError("more of a metric is better or less: leave out --lower-is-better or --higher-is-better")
    texts = {name: str(value) for name, value in flags.items() if value is not None and not isinstance(value, bool)}
    words = [word for name, value in {**texts, **({"to": to} if to else {})}.items() for word in (f"--{name}", value)]
    words += [f"--{name.replace('_', '-')}" for name, value in flags.items() if value is True]
    try:
        rope = float(texts["rope"]) if "rope" in texts else None
    except ValueError:
        raise TableError(
            f"--rope is a number, the difference that counts as equal in practice, got {texts['rope']}"
        ) from None
    asked = Asked(
        texts.get("arm"), texts.get("seed"), texts.get("metric"), texts.get("columns", "").split(","),
        texts.get("baseline"), higher if lower or higher else None, texts.get("unit"), rope,
    )  # fmt: skip
    width = next((each.removeprefix(WIDTH) for each in settings if each.startswith(WIDTH)), "text")
    command = shlex.join(["normlib", "report", files[0], *settings, *words])
    return _report(files[0], asked, to, overwrite, command, width)


def _report(
    runs: pd.DataFrame | str | os.PathLike[str], asked: Asked, to: str | os.PathLike[str] | None, overwrite: bool, command: str,
    figures_width: str,
) -> Report:  # fmt: skip
    """Write the report; `command` is what makes it again, for the page."""
    from normlib.results.report import report_on_frame

    if isinstance(runs, pd.DataFrame):
        if to is None:
            raise TableError("a report on a frame is written to a folder: name it with to=...")
        folder, table = user_path(to, "to"), runs
        name = folder.name
    else:
        path = user_path(runs, "a table of runs")
        table, name = read_table(path), path.stem
        folder = user_path(to, "--to") if to is not None else path.with_name(f"{path.stem}_report")
    if folder.exists() and not folder.is_dir():
        raise TableError(f"a report goes to a folder, and {folder} is a file; name another with --to")
    rows = asked_rows(table, asked, name)
    return report_on_frame(
        folder, rows.frame, rows.question, command=command, warnings=rows.messages, overwrite=overwrite,
        figures_width=figures_width,
    )  # fmt: skip
