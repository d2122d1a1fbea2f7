"""Finds every place from which a model reaches a module, and can put another module there.

Places are submodules, lists, dicts, tuples, sets, bound methods, partials and closures. In: a model, and the modules
that replace others. All places that hold one of those others are changed. What cannot be changed is reported before
anything is. This file builds no module and decides about none.
"""

from __future__ import annotations

import functools
import weakref
from collections import deque
from collections.abc import Collection, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

# Objects of these packages are the surroundings of a model (a trainer, a logger), not part of it.
SURROUNDINGS = {
    "torch",
    "numpy",
    "pytorch_lightning",
    "lightning",
    "lightning_fabric",
    "logging",
    "threading",
    "asyncio",
}
ATOMS = (Tensor, type, ModuleType, str, bytes, int, float, complex, bool, type(None))


def replace_everywhere(
    model: nn.Module, swap: Mapping[nn.Module, nn.Module], leave: Collection[nn.Module] = ()
) -> None:
    """Put each module of `swap` into all places from which `model` reaches the old one, except inside `leave`."""
    _Walk(swap, leave, change=True).visit(model, "")


def irreplaceable(
    model: nn.Module, swap: Mapping[nn.Module, nn.Module], leave: Collection[nn.Module] = ()
) -> list[str]:
    """The places where `replace_everywhere` could not put the new module, each with the reason."""
    walk = _Walk(swap, leave, change=False)
    walk.visit(model, "")
    return walk.problems


def beside_submodules(model: nn.Module, leave: Collection[nn.Module] = ()) -> list[tuple[str, nn.Module]]:
    """Each module that `model` reaches other than as a submodule, for example in a plain list, with that place."""
    walk = _Walk({}, leave, change=False)
    walk.visit(model, "")
    return walk.beside


def modules_within(model: nn.Module, leave: Collection[nn.Module] = ()) -> dict[str, nn.Module]:
    """Every module that `model` reaches, except inside `leave`, each once, by the place where it is found first."""
    walk = _Walk({}, leave, change=False)
    walk.visit(model, "")
    return walk.modules


class _Walk:
    """One pass over everything that a model reaches. It changes nothing unless `change`."""

    def __init__(self, swap: Mapping[nn.Module, nn.Module], leave: Collection[nn.Module], change: bool) -> None:
        self.swap = {id(old): new for old, new in swap.items()}
        self.change = change
        self.seen: dict[int, Any] = {id(module): module for module in leave}  # or what took its place
        self.alive: list[Any] = []  # an id belongs to one object only as long as the object exists
        self.problems: list[str] = []
        self.beside: list[tuple[str, nn.Module]] = []
        self.modules: dict[str, nn.Module] = {}

    def visit(self, value: Any, path: str, registered: bool = False) -> Any:
        """`value`, changed inside, or what takes its place. `registered`: it is a submodule of a module."""
        if isinstance(value, nn.Module) and path and not registered:
            self.beside.append((path, value))
        if id(value) in self.swap:
            return self.swap[id(value)] if self.change else value
        if isinstance(value, ATOMS) or id(value) in self.seen:
            return self.seen.get(id(value), value)
        self.seen[id(value)] = value
        self.alive.append(value)
        if isinstance(value, nn.Module):
            self.modules[path] = value
        new = self._inside(value, path)
        self.seen[id(value)] = new
        return new

    def _inside(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            self._mapping(value, path)
        elif isinstance(value, list | deque):
            for index, item in enumerate(value):
                self._put(value, index, item, f"{path}[{index}]")
        elif isinstance(value, tuple | frozenset):
            items = [self.visit(item, f"{path}[{index}]") for index, item in enumerate(value)]
            if any(new is not old for new, old in zip(items, value)):
                return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        elif isinstance(value, set):
            items = [self.visit(item, f"{path}{{}}") for item in value]
            if any(new is not old for new, old in zip(items, value)):
                value.clear()
                value.update(items)
        elif isinstance(value, MethodType):
            return self._bound(value, path)
        elif isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            func, args, named = (
                self.visit(part, f"{path}({name})") for part, name in zip(parts, ("func", "args", "keywords"))
            )
            if func is not value.func or args is not value.args:
                value.__setstate__((func, args, named, vars(value)))  # type: ignore[attr-defined]
        elif isinstance(value, FunctionType):
            self._function(value, path)
        elif isinstance(value, weakref.ref):
            target = value()
            new = None if target is None else self.visit(target, f"{path}()")
            return value if new is target else weakref.ref(new)
        elif isinstance(value, nn.Module) or type(value).__module__.partition(".")[0] not in SURROUNDINGS:
            self._attributes(value, path)
        return value

    def _put(self, holder: Any, key: Any, value: Any, path: str, registered: bool = False) -> None:
        new = self.visit(value, path, registered)
        if new is not value:
            holder[key] = new

    def _mapping(self, value: dict[Any, Any], path: str) -> None:
        for key, item in list(value.items()):
            self._put(value, key, item, f"{path}[{key!r}]" if isinstance(key, str | int) else f"{path}[...]")
        keys = [self.visit(key, f"the keys of {path}") for key in value]
        if any(new is not old for new, old in zip(keys, value)):
            items = list(zip(keys, value.values()))
            value.clear()
            value.update(items)

    def _bound(self, method: MethodType, path: str) -> Any:
        """If a module is replaced, its bound method becomes the new module's method of that name."""
        old: Any = method.__self__
        owner = self.visit(old, path)
        if id(old) not in self.swap:
            return method if owner is old else MethodType(method.__func__, owner)
        new = self.swap[id(old)]
        if not callable(getattr(new, method.__name__, None)):
            self.problems.append(f"{path} is its method {method.__name__}, which {type(new).__name__} does not have")
        return getattr(new, method.__name__) if self.change else method

    def _function(self, function: FunctionType, path: str) -> None:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                value = cell.cell_contents
            except ValueError:  # a name without a value yet
                continue
            new = self.visit(value, f"{name} in {path}")
            if new is not value:
                cell.cell_contents = new
        if function.__defaults__:
            function.__defaults__ = self.visit(function.__defaults__, f"the defaults of {path}")
        if function.__kwdefaults__:
            self.visit(function.__kwdefaults__, f"the defaults of {path}")

    def _attributes(self, value: Any, path: str) -> None:
        attributes = getattr(value, "__dict__", None)
        if not isinstance(attributes, dict):
            return
        inside = f"{path}." if path else ""
        is_module = isinstance(value, nn.Module)
        for name, item in list(attributes.items()):
            if is_module and name == "_modules":
                for child, module in list(item.items()):
                    self._put(item, child, module, f"{inside}{child}", registered=True)
            elif not is_module or name not in ("_parameters", "_buffers"):
                self._put(attributes, name, item, f"{inside}{name}")
