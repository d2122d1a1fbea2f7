"""Rows of `normlib.listing` as text: wrapped between words for a terminal, or one line each for other programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from normlib.listing_rows import Row
from normlib.settings import as_typed

HEADINGS = {"norm": "norms", "model": "models", "data": "datasets", "task": "tasks", "optimizer": "optimizers",
    "schedule": "schedules", "logger": "loggers", "experiment": "experiments", "setting": "settings"}  # fmt: skip
KEY_WIDTH = 34
"""Columns. A wider key has its text on the next line."""


def lines(rows: Iterable[Row], whole: bool) -> Iterator[str]:
    """One line per row, in columns separated by tabs: key, kind, value, type or facts, and help.

    `whole`: the lines of a choice's settings follow it.
    """
    for row in rows:
        yield "\t".join((row["key"], row["kind"], _value(row), _facts(row), row["help"]))
        yield from lines(row.get("settings", ()) if whole else (), whole)


def page(rows: Sequence[Row], width: int, whole: bool) -> Iterator[str]:
    """The rows for a terminal of `width` columns, under a heading for each kind. `whole`: choices with all that is known."""
    for kind, group in groupby(rows, key=lambda row: row["kind"]):
        members = list(group)
        if whole and kind != "setting":
            for row in members:
                yield from (*_choice(row, width), "")
            continue
        yield from (HEADINGS[kind], *beside([(_head(row), _told(row)) for row in members], width), "")


def _choice(row: Row, width: int) -> Iterator[str]:
    """A choice with its facts and its settings."""
    yield row["key"]
    yield from _wrapped(row["help"], width, "  ")
    facts = {"statistics over": row.get("statistics_over"), "paper": row.get("paper"), "place": row.get("place"),
        "task": row.get("task", ""), "from": row["source"]}  # fmt: skip
    if row.get("depends_on_batch") is not None:
        facts["depends on the batch"] = "yes, in training" if row["depends_on_batch"] else "no"
    values = [f"{key}={as_typed(value)}" for key, value in row.get("values", {}).items()]
    for line in (*(f"{name}: {text}" for name, text in facts.items() if text), *values):
        yield from _wrapped(line, width, "  ")
    yield from beside([(_head(each), _told(each, of=False)) for each in row["settings"]], width)


def _head(row: Row) -> str:
    return f"{row['key']}={as_typed(row['default'])}" if row["kind"] == "setting" else str(row["name"])


def _told(row: Row, of: bool = True) -> str:
    """The text beside the key of a setting or the name of a choice."""
    if row["kind"] != "setting":
        return "\n".join(filter(None, ((_facts(row) if row["kind"] == "norm" else "") or row["help"], _value(row))))
    whose = f" [{', '.join(row['of'])}]" if of and row["of"] else ""
    return f"{row['help']} ({_facts(row)}){whose}"


def _value(row: Row) -> str:
    """The default of a setting, or the values of a choice by short names."""
    if row["kind"] == "setting":
        return as_typed(row["default"])
    values = row.get("values") or {each["key"].partition(".")[2]: each["default"] for each in row["settings"]}
    return " ".join(f"{key}={as_typed(value)}" for key, value in values.items())


def _facts(row: Row) -> str:
    """The type of a setting and whether it changes numbers; the kind of a norm; the task of a dataset."""
    if row["kind"] == "setting":
        type_ = (
            "|".join([*row["choices"], *(["null"] if "null" in row["type"] else [])]) if row["choices"] else row["type"]
        )
        return f"{type_}, {'changes' if row['changes_numbers'] else 'changes no'} numbers"
    if "statistics_over" in row:
        remarks = ["depends on the batch" if row["depends_on_batch"] else "", row["place"], row["paper"]]
        return "; ".join(filter(None, [row["statistics_over"], *remarks]))
    if row["kind"] == "data":
        return f"task {row['task'] or 'any (data.task)'}"
    return ""


def beside(pairs: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Keys and their texts in two columns. The text of a long key begins on the next line."""
    left = min(KEY_WIDTH, max((len(key) for key, _ in pairs), default=0)) + 2
    for key, text in pairs:
        told = list(_wrapped(text, width, " " * (left + 2)))
        if told and len(key) + 1 < left:
            told[0] = f"  {key}".ljust(left + 2) + told[0].lstrip()
        else:
            yield f"  {key}"
        yield from told


def _wrapped(text: str, width: int, indent: str) -> Iterator[str]:
    for paragraph in text.splitlines():
        yield from textwrap.wrap(
            paragraph, max(width, len(indent) + 20), initial_indent=indent, subsequent_indent=indent,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
