"""Output on any terminal: characters that its encoding lacks are written with others."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN = {
    "−": "-", "±": "+/-", "×": "x", "≈": "~", "≤": "<=", "≥": ">=", "…": "...", "–": "-", "→": "->", "∞": "inf",
    "¹": "1", "²": "2", "³": "3", "⁴": "4", "⁵": "5", "⁶": "6", "⁷": "7", "⁸": "8", "⁹": "9", "⁰": "0", "ᵏ": "k",
    "─": "-", "│": "|", "━": "-", "β": "beta", "γ": "gamma", "ε": "epsilon", "σ": "sigma", "μ": "mu", "·": "*",
}  # fmt: skip


def show_anything() -> None:
    """From now on printing never raises UnicodeEncodeError, as under LC_ALL=POSIX. No sign of a number is lost."""
    codecs.register_error("normlib", _plainly)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="normlib")


def new_console() -> Console:
    """A console for output. If the reader has gone away, it raises BrokenPipeError, as any other print."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise

    return Piped()


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end
