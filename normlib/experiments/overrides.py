"""How a value is written in Hydra's override grammar. Imports no Hydra."""

from __future__ import annotations

import re
from typing import Any

from normlib.naming import read_as


def as_override(value: Any) -> str:
    """A single value as an override has it behind the `=`; a text stands in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _in_quotes(value) if isinstance(value, str) else str(value)


def text_override(text: str) -> str:
    """A text as an override has it, in quotes only where the grammar would not take it for a text."""
    plain = re.fullmatch(r"[\w./-]+", text, re.ASCII) and read_as(text) is None
    return text if plain else _in_quotes(text)


def _in_quotes(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"
