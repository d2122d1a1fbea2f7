"""A setting: its type, its default, its choices, a line of help, and whether it changes a run's numbers.

In: dataclasses whose fields were made by `setting`, or docstrings with a section of settings. Out: `Setting`s. The
configuration, `normlib list`, the help, the documents and the completion all read them. Imports nothing of normlib.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SECTION = re.compile(r"^(?:Settings|Args|Arguments|Parameters):$")
"""The line of a docstring above the settings, each as `name: help`."""


@dataclass(frozen=True)
class Setting:
    """One thing that a user may set.

    `choices`: the only values, if there are few; a type with None also allows null. `changes_numbers`: whether another
    value makes another run, with its own id. `role`: what the setting is for, such as the question of a report; one of
    `normlib.experiments.settings.ROLES`.
    """

    name: str
    type: Any
    default: Any
    choices: tuple[str, ...] = ()
    help: str = ""
    changes_numbers: bool = True
    role: str = ""

    @property
    def type_text(self) -> str:
        """The type in words: "int or null", "list of str"."""
        return _type_text(self.type)

    @property
    def default_text(self) -> str:
        """The default as the command line takes it."""
        return as_typed(self.default)

    def allows(self, value: Any) -> bool:
        """Whether a value, or each value of a list, is one of the choices."""
        if not self.choices or (value is None and type(None) in typing.get_args(self.type)):
            return True
        return all(each in self.choices for each in (value if isinstance(value, list) else [value]))


def setting(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    choices: Sequence[str] = (),
    changes_numbers: bool = True,
    role: str = "",
    factory: Callable[[], Any] | None = None,
) -> Any:
    """A field of a dataclass that is a setting. `factory` makes a mapping or a section: empty, or with its own defaults."""
    described = {"help": help, "choices": tuple(choices), "changes_numbers": changes_numbers, "role": role}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=described)
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, metadata={**described, "default": default})
    return dataclasses.field(default=default, metadata={**described, "default": default})


def settings_in(cls: type) -> dict[str, Setting]:
    """The settings of a dataclass, by name. The plain field `name` of a choice is not one, since it is the choice itself."""
    hints = typing.get_type_hints(cls)
    fields = [each for each in dataclasses.fields(cls) if each.name != "name" or each.metadata]
    return {each.name: Setting(each.name, hints[each.name], **{"default": {}, **each.metadata}) for each in fields}


def help_in(cls: Any) -> dict[str, str]:
    """The help of a constructor's arguments, from the docstrings of the class and of its base classes.

    A docstring has them below the line `Settings:` (or `Args:`), each as `name: help`. Further lines are indented more.
    """
    found: dict[str, str] = {}
    for each in getattr(cls, "__mro__", (cls,)):
        for doc in (each.__doc__, getattr(vars(each).get("__init__"), "__doc__", None)):
            for name, text in _help_of_arguments(doc or "").items():
                found.setdefault(name, text)
    return found


def as_typed(value: object) -> str:
    """A value as the command line takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(as_typed, value))}]" if isinstance(value, list) else str(value) or "''"


def _help_of_arguments(doc: str) -> dict[str, str]:
    lines = inspect.cleandoc(doc).splitlines()
    found: dict[str, list[str]] = {}
    starts = [number for number, line in enumerate(lines) if SECTION.match(line)]
    for line in lines[starts[0] + 1 :] if starts else ():
        if line and not line.startswith(" "):
            break
        named = re.match(r" {1,4}(\w+)(?: \([^)]*\))?: +(.*)", line)
        if named:
            found[named[1]] = [named[2]]
        elif line.strip() and found:
            found[list(found)[-1]].append(line.strip())
    return {name: " ".join(texts) for name, texts in found.items()}


def _type_text(hint: Any) -> str:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if part is type(None) else _type_text(part) for part in parts)
    if origin is list:
        return f"list of {_type_text(parts[0])}"
    return "any" if hint is Any else str(getattr(hint, "__name__", hint))
