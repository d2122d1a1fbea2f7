"""Code typed into a notebook or an interpreter: turns a class or a function of a cell into one self-contained text.

In: what a cell has defined. Out: its source with everything that it uses from other cells, each as it is now: imports,
plain values, functions and classes. What has no source, such as a tensor, is refused. Runs none of the code.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import inspect
import linecache
import symtable
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from normlib.project import file_of
from normlib.registry import RegistryError

FUTURE = "from __future__ import annotations"
GENERATED = "<string>"
"""The file name of generated methods of dataclasses."""
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Cell:
    """`text` is a module that defines `name`, and `modules` are what it imports."""

    name: str
    text: str
    modules: tuple[ModuleType, ...]


def is_typed(thing: Any) -> bool:
    """Whether a class or a function was typed in, so no file holds its source."""
    module = sys.modules.get(thing.__module__)
    if module is None or file_of(module) is None:
        return module is not None
    functions = (
        list(_functions(thing)) if module.__name__ == "__main__" else []
    )  # of a script that continued interactively
    return bool(functions) and not any(Path(f.__code__.co_filename).is_file() for f in functions)


def cell_of(thing: Any) -> Cell:
    """A typed class or function as a self-contained text. Raises RegistryError, with the reason, if that is not possible."""
    gathered = _Gathered()
    gathered.define(thing)
    lines = [*([FUTURE] if gathered.future else []), *gathered.imports, *gathered.values, *gathered.definitions]
    return Cell(thing.__name__, "\n".join(lines) + "\n", tuple(gathered.modules))


@dataclass
class _Gathered:
    """The parts of a text, each once, in the order in which they have to run."""

    imports: dict[str, None] = field(default_factory=dict)
    values: dict[str, None] = field(default_factory=dict)
    definitions: dict[str, None] = field(default_factory=dict)
    modules: dict[ModuleType, None] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    future: bool = False

    def define(self, thing: Any) -> None:
        """Add the source of a class or a function with its decorators, after all that it uses."""
        thing = thing if isinstance(thing, type) else inspect.unwrap(thing)
        if id(thing) in self.seen:
            return
        self.seen.add(id(thing))
        source, function = _source(thing)
        self.future |= bool(function.__code__.co_flags & __future__.annotations.compiler_flag)
        for name in sorted(_global_names(source)):
            if name in function.__globals__ and name != thing.__name__:
                self.use(name, function.__globals__[name], thing)
        self.definitions[source] = None

    def use(self, name: str, value: Any, user: Any) -> None:
        """Add whatever gives `name` the value `value` for the class or function `user`."""
        if isinstance(value, ModuleType):
            self.modules[value] = None
            self.imports[f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}")] = None
        elif _is_definition_of_a_cell(value):
            _refuse_outdated_base(value, user)
            self.define(value)
            if value.__name__ != name:
                self.definitions[f"{name} = {value.__name__}"] = None
        elif _is_plain(value):
            self.values[f"{name} = {value!r}"] = None
        elif (found := _module_with(name, value)) is not None:
            module, there = found
            self.modules[module] = None
            self.imports[f"from {module.__name__} import {there}" + ("" if there == name else f" as {name}")] = None
        else:
            raise RegistryError(
                f"{user.__qualname__} uses {name!r} of another cell, a {type(value).__name__}. Its value is neither in the run's id nor known to "
                "worker processes. Make it inside the class, or a setting of the constructor, or put the class into a file and "
                "name the file with plugins=[my_norm.py]"
            )


def _refuse_outdated_base(value: Any, user: Any) -> None:
    for base in getattr(user, "__mro__", ()):
        if base is not value and (base.__module__, base.__qualname__) == (value.__module__, value.__qualname__):
            raise RegistryError(
                f"the cell of {value.__qualname__} was run again after that of {user.__qualname__}, which still has the old one as its "
                f"base; run the cell of {user.__qualname__} again"
            )


def _functions(thing: Any) -> Iterator[FunctionType]:
    """A function itself, or the functions in the body of a class."""
    members: Iterable[Any] = (thing,) if isinstance(thing, FunctionType) else vars(thing).values()
    for each in members:
        method: Any = each.fget if isinstance(each, property) else getattr(each, "__func__", each)
        function: Any = inspect.unwrap(method) if callable(method) else method
        own = isinstance(function, FunctionType) and function.__module__ == thing.__module__
        if (
            own
            and function.__code__.co_filename != GENERATED
            and (function is thing or function.__qualname__.startswith(f"{thing.__qualname__}."))
        ):
            yield function


def _source(thing: Any) -> tuple[str, FunctionType]:
    """The source of a typed class or function with its decorators, and one of the functions in it."""
    for function in _functions(thing):
        lines = linecache.getlines(function.__code__.co_filename)
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            continue
        first = function.__code__.co_firstlineno
        for node in ast.walk(tree):
            if isinstance(node, DEFINITIONS) and node.name == thing.__qualname__:
                start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                if start <= first <= (node.end_lineno or first):
                    return textwrap.dedent("".join(lines[start - 1 : node.end_lineno])), function
    raise RegistryError(
        f"{thing.__qualname__} has no source in a file or at the top level of a cell. A run's id is a hash of the "
        "code behind it, so put it into a file, my_norm.py, and name the file with plugins=[my_norm.py]"
    )


def _global_names(source: str) -> set[str]:
    """The names that a source takes from the module around it."""
    names: set[str] = set()
    tables = [symtable.symtable(source, "<cell>", "exec")]
    while tables:
        table = tables.pop()
        outermost = table.get_type() == "module"
        names |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (outermost or symbol.is_global())
        }
        tables += table.get_children()
    return names - vars(builtins).keys()


def _is_definition_of_a_cell(value: Any) -> bool:
    """Whether the value is a class or a function of a cell, decorated or not."""
    inside = inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value
    return isinstance(inside, type | FunctionType) and inside.__module__ == "__main__" and is_typed(inside)


def _is_plain(value: Any) -> bool:
    try:
        return type(ast.literal_eval(repr(value))) is type(value) and bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return False


def _module_with(name: str, value: Any) -> tuple[ModuleType, str] | None:
    """A module that has `value`, and its name there. If possible, the module that the value says it belongs to."""
    names = dict.fromkeys([getattr(value, "__name__", name), name])
    home = sys.modules.get(str(getattr(value, "__module__", "")))
    others = sorted((m for m in sys.modules.values() if isinstance(m, ModuleType)), key=lambda m: len(m.__name__))
    for module in (*([] if home is None else [home]), *others):
        for there in names:
            if module.__name__ != "__main__" and vars(module).get(there) is value:
                return module, there
    return None
