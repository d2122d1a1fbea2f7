"""Foreign values in messages: short, on one line, and printable anywhere.

In: a value of any kind, or a text. Out: text. This file never judges what it quotes.
"""

from __future__ import annotations

import reprlib
from typing import Any

MOST = 80
"""Characters of a value that a message shows."""

_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxstring, _repr.maxlong, _repr.maxother = 2, MOST, MOST, MOST


def short(value: Any) -> str:
    """The value as Python prints it, cut at `MOST` characters."""
    return cut(_repr.repr(value))


def cut(text: str, most: int = MOST) -> str:
    """The text, printable, cut at `most` characters."""
    text = printable(text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    """The text with escapes for what cannot be printed: line breaks, control characters, lone surrogates."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
