"""Names in messages: the closest known names, shortened lists, and words that cannot be names.

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
"""Words that the command line, YAML files or tables of results read as something else, in any case."""


MOST_LISTED = 60
"""Known names in one message. timm has more than a thousand models."""


def read_as(name: str) -> str | None:
    """What a word is read as instead of a name, such as "a number". None if it is a name."""
    for reading, words in NO_NAMES.items():
        if name.lower() in words:
            return reading
    try:
        float(name)
    except ValueError:
        return None
    return "a number"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name: the closest names first, then up to `MOST_LISTED` known ones.

    Case does not matter. A name with dots is also close by its last part, as `optimizer.lr` is to `lr`.
    """
    known = sorted(known)
    close = close_names(name, known)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    return f"no {kind} is named {name!r}{hint}" + (f" Known: {listed(known, MOST_LISTED)}" if known else "")


def close_names(name: str, known: Iterable[str], cutoff: float = 0.5) -> list[str]:
    """Up to three known names close to `name`, the closest first. `cutoff` is the least similarity, up to 1."""
    known = sorted(known)
    by_text = {each.rpartition(".")[2].lower(): each for each in known} | {each.lower(): each for each in known}
    matches = difflib.get_close_matches(str(name).lower(), by_text, n=3, cutoff=cutoff)
    return list(dict.fromkeys(by_text[match] for match in matches))


def unknown_argument(make: Callable[..., object], given: Iterable[str], key: str) -> str | None:
    """The message for the first argument `key.<name>` that a class or function does not take. None if it takes all."""
    parameters = inspect.signature(make).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return None
    unknown = next((name for name in given if name not in parameters), None)
    called = getattr(make, "__name__", repr(make))
    return unknown and f"{key}.{unknown}: {unknown_name(f'argument of {called}', unknown, parameters)}"


def listed(names: Iterable[object], most: int | None = None, between: str = ", ") -> str:
    """The first `most` of the names, and how many more there are."""
    words = [str(name) for name in names]
    more = len(words) - most if most is not None else 0
    return between.join(words[:most]) + (f" and {more} more" if more > 0 else "")
