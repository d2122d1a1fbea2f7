"""Registries of norms, models, datasets and tasks: names in, classes and their settings out.

A decorator registers a class in the one file that defines it. Its constructor's signature is its configuration. Every
argument after those that normlib passes is a setting with a plain type and a default. This module never imports torch,
Hydra or any other part of normlib.
"""

from __future__ import annotations

import enum
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from normlib.errors import NormlibError
from normlib.naming import read_as, unknown_name
from normlib.settings import Setting, help_in

T = TypeVar("T")

PLAIN_TYPES = (bool, int, float, str)


class RegistryError(NormlibError, ValueError):
    """A registration or a look-up breaks a rule. The message states the rule, what came and the fix."""


@dataclass(frozen=True)
class Entry:
    """A registered class with its metadata and the settings read from its signature."""

    name: str
    cls: type
    metadata: Mapping[str, Any]
    settings: Mapping[str, Setting]
    source_file: str | None
    """The file that defines the class, if Python knows one."""

    @property
    def summary(self) -> str:
        """The first paragraph of the class's docstring."""
        return (inspect.getdoc(self.cls) or "").split("\n\n")[0].replace("\n", " ").strip()


@dataclass
class Registry:
    """All classes of one kind, such as "norm", "model" or "dataset".

    `supplied`: the constructor arguments that normlib passes. `package` holds the built-in members, one per file,
    imported at the first use of a name. `entry_points`: the group that other packages register under. `adapt` turns
    what is registered into the class of an entry, or raises RegistryError.
    """

    kind: str
    package: str
    entry_points: str
    supplied: frozenset[str]
    metadata_keys: frozenset[str] = frozenset()
    required_base: Callable[[], type] | None = None
    adapt: Callable[[Any], Any] | None = None
    _entries: dict[str, Entry] = field(default_factory=dict)
    _loaded: bool = False

    def register(self, name: str, **metadata: Any) -> Callable[[T], T]:
        """Class decorator that adds a class under `name`.

        Raises RegistryError for a name that is taken or not an identifier, for unknown metadata, and for constructor
        arguments without a plain type and a default.
        """

        def decorate(cls: T) -> T:
            self._add(name, cls if self.adapt is None else self.adapt(cls), metadata)
            return cls

        return decorate

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self.load()
        return sorted(self._entries)

    def __getitem__(self, name: str) -> Entry:
        self.load()
        if name not in self._entries:
            raise RegistryError(unknown_name(self.kind, name, self._entries))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._entries

    def entries(self) -> list[Entry]:
        """All entries, sorted by name."""
        return [self._entries[name] for name in self.names()]

    def load(self) -> None:
        """Import the built-in members and those of other installed packages, once."""
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self.package)
        for module in pkgutil.walk_packages(package.__path__, f"{self.package}."):
            importlib.import_module(module.name)
        load_entry_points(self.entry_points)

    def _add(self, name: str, cls: Any, metadata: Mapping[str, Any]) -> None:
        if not isinstance(cls, type):
            raise RegistryError(f"a {self.kind} must be registered as a class, but {name!r} is {cls!r}")
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise RegistryError(
                f"a {self.kind}'s name must be letters, digits and underscores (it is typed on the command line); got {name!r}"
            )
        if reading := read_as(name):
            raise RegistryError(
                f"a {self.kind} cannot be called {name!r}, which is read as {reading} on the command line, in YAML or in tables; "
                "give it another name"
            )
        for key in metadata:
            if key not in self.metadata_keys:
                raise RegistryError(f"{self.kind} {name!r}: {unknown_name('metadata key', key, self.metadata_keys)}")
        if self.required_base is not None and not issubclass(cls, self.required_base()):
            base = self.required_base()
            raise RegistryError(
                f"a {self.kind} must inherit from {base.__module__}.{base.__qualname__}, but {cls.__qualname__} does not; add it to the class's bases"
            )
        entry = Entry(name, cls, dict(metadata), self._settings(name, cls), _source_file(cls))
        taken = self._entries.get(name)
        if taken is not None and _definition(taken) != _definition(entry):
            raise RegistryError(
                f"the {self.kind} name {name!r} is taken by {taken.cls.__module__}.{taken.cls.__qualname__} "
                f"({taken.source_file}); register {cls.__module__}.{cls.__qualname__} under another name"
            )
        self._entries[name] = entry

    def _settings(self, name: str, cls: type) -> dict[str, Setting]:
        settings: dict[str, Setting] = {}
        constructor: Any = inspect.getattr_static(cls, "__init__")
        if constructor is object.__init__:
            return settings
        signature = inspect.signature(constructor)
        hints = typing.get_type_hints(constructor)
        helps = help_in(cls)
        for argument in list(signature.parameters.values())[1:]:
            if argument.name in self.supplied:
                continue
            where = f"{self.kind} {name!r}: argument {argument.name!r}"
            if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
                raise RegistryError(
                    f"{where}: the signature is the configuration, so *args and **kwargs are not allowed; name every argument"
                )
            if argument.default is argument.empty:
                raise RegistryError(
                    f"{where} has no default; a setting needs one (normlib itself passes only {sorted(self.supplied)})"
                )
            hint = hints.get(argument.name, Any if argument.default is None else type(argument.default))
            settings[argument.name] = Setting(
                argument.name,
                _plain(hint, where),
                argument.default,
                _literals(hint),
                helps.get(argument.name, ""),
                role="section",
            )
        return settings


def load_entry_points(group: str) -> None:
    """Import what other installed packages declare for a group.

    Raises RegistryError, which names the package, if an entry does not import.
    """
    for point in importlib.metadata.entry_points(group=group):
        try:
            point.load()
        except Exception as error:
            raise RegistryError(
                f"the entry point {point.name!r} = {point.value!r} of group {group!r} does not import: "
                f"{type(error).__name__}: {error}. Fix or uninstall the package that declares it."
            ) from error


def _definition(entry: Entry) -> tuple[str, str]:
    """Where a class is defined. A module that is loaded again may register the same class again."""
    return entry.cls.__qualname__, entry.source_file or entry.cls.__module__


def _source_file(cls: type) -> str | None:
    try:
        return inspect.getsourcefile(cls)
    except (TypeError, OSError):  # a class without a file raises one or the other, depending on where it was typed
        return None


def _literals(hint: Any) -> tuple[str, ...]:
    choices: list[str] = []
    for part in typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,):
        if typing.get_origin(part) is Literal:
            choices += [str(choice) for choice in typing.get_args(part)]
    return tuple(choices)


def is_settable(hint: Any) -> bool:
    """Whether an argument of this type can be a setting."""
    try:
        _plain(hint, "")
    except RegistryError:
        return False
    return True


def _plain(hint: Any, where: str) -> Any:
    """`hint` as a type that a config node can check: plain type, enum, list of plain types, or one of these or None."""
    origin = typing.get_origin(hint)
    if hint is Any or hint in PLAIN_TYPES or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
        return hint
    if origin is Literal and all(isinstance(choice, str) for choice in typing.get_args(hint)):
        return str
    if origin is list and typing.get_args(hint)[0] in PLAIN_TYPES:
        return hint
    if origin in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(parts) == 1 and len(parts) < len(typing.get_args(hint)):
            return _plain(parts[0], where) | None
    raise RegistryError(
        f"{where} has type {hint}; a setting's type must be bool, int, float, str, a Literal of strings, an enum, a list of plain types, or one of these or None"
    )
