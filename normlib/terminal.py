"""What a terminal can show: signs that its encoding has no letter for are written with letters that it has."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN = {
    "−": "-", "±": "+/-", "×": "x", "≈": "~", "≤": "<=", "≥": ">=", "…": "...", "–": "-", "→": "->", "∞": "inf",
    "¹": "1", "²": "2", "³": "3", "⁴": "4", "⁵": "5", "⁶": "6", "⁷": "7", "⁸": "8", "⁹": "9", "⁰": "0", "ⁿ": "n",
    "─": "-", "│": "|", "━": "-", "β": "beta", "γ": "gamma", "ε": "epsilon", "σ": "sigma", "μ": "mu", "·": "*",
}  # fmt: skip


def show_anything() -> None:
    """From now on what is printed never ends in a UnicodeEncodeError, as under LC_ALL=POSIX; no sign of a number gets lost."""
    codecs.register_error("normlib", _plainly)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="normlib")


def new_console() -> Console:
    """A console for what is printed; a reader who has gone away is a BrokenPipeError, as for any other print."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise

    return Piped()


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end
