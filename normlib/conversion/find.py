"""The normalization layers of a model, each with all the places where it stands.

In come a model and the paths to skip; out go the layers in the model's order. Raises ValueError that names every norm which
cannot be converted. This file changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from torch import nn

from normlib.conversion.describe import describe
from normlib.conversion.description import Description, UnknownNorm

# Wrappers that took note of the parameters when they were built.
WRAPPERS = ("DistributedDataParallel", "FullyShardedDataParallel")


@dataclass
class Layer:
    """One norm of a model, with the places where it is: each a path, the module around it and its name there."""

    module: nn.Module
    description: Description
    places: list[tuple[str, nn.Module | None, str]] = field(default_factory=list)

    @property
    def path(self) -> str:
        return ", ".join(path or "(the model)" for path, _, _ in self.places)


def find(model: nn.Module, skip: tuple[str, ...]) -> tuple[list[Layer], dict[str, str]]:
    """The norms of the model in order, and the skipped modules by path."""
    found: dict[int, Layer] = {}
    left: dict[str, str] = {}
    problems: list[str] = []
    used: set[str] = set()
    for path, parent, name, module, below in _walk(model, "", None, ""):
        if type(module).__name__ in WRAPPERS:
            problems.append(f"{path or 'the model'} is wrapped in {type(module).__name__}: convert before wrapping")
        matching = {pattern for pattern in skip if fnmatchcase(path, pattern)}
        if matching:
            used |= matching
            left[path] = type(module).__name__
            below.clear()
            continue
        try:
            description = found[id(module)].description if id(module) in found else describe(module)
        except UnknownNorm as error:
            problems.append(f"{path or 'the model'} {error}")
            below.clear()
            continue
        if description is not None:
            found.setdefault(id(module), Layer(module, description)).places.append((path, parent, name))
            below.clear()
    if problems:
        raise ValueError(
            "some norms cannot be converted; nothing was changed:\n  "
            + "\n  ".join(problems)
            + "\nTo leave such a module as it is, name it in skip=[...]"
        )
    if set(skip) - used:
        raise ValueError(f"skip names {sorted(set(skip) - used)}, but no module of the model has such a path")
    return list(found.values()), left


def _walk(
    module: nn.Module, path: str, parent: nn.Module | None, name: str
) -> Iterator[tuple[str, nn.Module | None, str, nn.Module, dict[str, nn.Module]]]:
    """Every module at every place, parents first. The last part are its children: whoever empties it goes no deeper."""
    children = {key: child for key, child in module._modules.items() if child is not None}
    yield path, parent, name, module, children
    for child_name, child in children.items():
        yield from _walk(child, f"{path}.{child_name}" if path else child_name, module, child_name)
