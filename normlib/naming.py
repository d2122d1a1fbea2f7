"""Names in messages: those that do not exist, with the closest that do, many of them in short, and words that are no names.

In: names. Out: text. This file imports nothing of normlib.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable

NO_NAMES = {
    "a number": ("nan", "inf", "infinity"),
    "no value": ("null", "na"),
    "a truth value": ("true", "false", "yes", "no", "on", "off"),
}
"""Words that the command line, YAML files or tables of results read as something else, in whatever case."""


def read_as(name: str) -> str | None:
    """What a name is read as instead of a name, such as "a number"; None for a name that stays one."""
    for reading, words in NO_NAMES.items():
        if name.lower() in words:
            return reading
    try:
        float(name)
    except ValueError:
        return None
    return "a number"


def unknown_name(kind: str, name: str, known: Iterable[str], most: int | None = None) -> str:
    """The message for a name that is not registered: the closest names first, then all, or the first `most` of them."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    return f"no {kind} is named {name!r}{hint} Known: {listed(known, most or len(known))}"


def unknown_argument(make: Callable[..., object], given: Iterable[str], key: str) -> str | None:
    """The message for the first of the arguments `key.<name>` that a class or function does not take; None where it takes all."""
    parameters = inspect.signature(make).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return None
    unknown = next((name for name in given if name not in parameters), None)
    called = getattr(make, "__name__", repr(make))
    return unknown and f"{key}.{unknown}: {unknown_name(f'argument of {called}', unknown, parameters)}"


def listed(names: Iterable[object], most: int) -> str:
    """The first names of many, and how many more there are."""
    words = [str(name) for name in names]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
