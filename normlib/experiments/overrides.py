"""How settings are written in Hydra's override grammar: one value, or all settings that Python code gives. Imports no Hydra."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from normlib.naming import read_as

LISTS = re.compile(r"plugins|bench\..+")
"""The keys whose lists are one value. Any other list is an axis."""


def as_override(value: Any) -> str:
    """A single value as an override has it behind the `=`; a text stands in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _in_quotes(value) if isinstance(value, str) else str(value)


def text_override(text: str) -> str:
    """A text as an override has it, in quotes only where the grammar would not take it for a text."""
    plain = re.fullmatch(r"[\w./-]+", text, re.ASCII) and read_as(text) is None
    return text if plain else _in_quotes(text)


def as_overrides(overrides: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Settings as the command line has them: ``{"norm": ["batch", "group"]}`` is norm=batch,group.

    Lists, ranges and sets are axes, except for `LISTS`. Classes and functions are named by their file; ConfigError where they have none.
    """
    return [*overrides, *(f"{key}={_written(key, value)}" for key, value in settings.items())]


def _written(key: str, value: Any) -> str:
    if isinstance(value, list | tuple | range | set):
        written = ",".join(_written(key if not LISTS.fullmatch(key) else "", each) for each in value)
        return f"[{written}]" if LISTS.fullmatch(key) else written
    if isinstance(value, type) or inspect.isfunction(value):
        return _path_of(key, value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_written(key, each)}" for name, each in value.items()) + "}"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return text_override(value) if isinstance(value, str) else as_override(value)


def _path_of(key: str, thing: Any) -> str:
    """Where a class or a function lies, as in my_file.py:MyClass. ConfigError where it lies in no file."""
    from normlib.experiments.complaints import ConfigError

    try:
        file = inspect.getsourcefile(thing)
    except (TypeError, OSError):
        file = None
    if file is None or not os.path.isfile(file) or "." in thing.__qualname__:
        raise ConfigError(
            f"{key}={thing.__qualname__}: worker processes load it from a file, and it is not at the top of one; put it into a "
            "file, my_file.py, and import it from there"
        )
    return text_override(f"{os.path.relpath(file)}:{thing.__qualname__}")


def _in_quotes(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"
