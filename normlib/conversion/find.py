"""Finds the normalization layers of a model, each with all the places where it is.

In: a model, and what to leave as it is. Out: the layers in the model's order. One error names every norm that cannot be
replaced. This file changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from torch import nn

from normlib.conversion.describe import describe, is_without_numbers
from normlib.conversion.description import Description, UnknownNorm
from normlib.conversion.hidden import hidden_calls
from normlib.conversion.references import beside_submodules, modules_within

# Wrappers that registered the parameters when they were built.
WRAPPERS = ("DistributedDataParallel", "FullyShardedDataParallel")


@dataclass
class Layer:
    """One norm of a model and its places. Each place is a path, the module around it, and its name there.

    `beside` are the places where a model holds it other than as a submodule, for example in a plain list.
    """

    module: nn.Module
    description: Description
    places: list[tuple[str, nn.Module | None, str]] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return ", ".join(path or "(the model)" for path, _, _ in self.places)


@dataclass
class FoundNorms:
    """The norms of a model in order, and the skipped modules by path.

    `others` is, by path, what may be a norm but cannot be replaced, with the reason.
    """

    layers: list[Layer]
    skipped: dict[str, nn.Module]
    others: dict[str, tuple[nn.Module, str]]


def find(
    model: nn.Module,
    skip: tuple[str, ...] | None,
    known: Mapping[type, str] | None,
    leave: Collection[nn.Module] = (),
) -> FoundNorms:
    """Every norm that the model reaches. Raises an UnknownNorm that names all that cannot be replaced.

    `skip` are paths, and `leave` modules, that stay as they are. `skip` is None for a network whose norms all have to
    be replaced; then the model itself is not a norm. `known` is as in `describe`.
    """
    found: dict[int, Layer] = {}
    left: dict[str, nn.Module] = {}
    problems: list[str] = []
    used: set[str] = set()
    for path, parent, name, module, below in _walk(model, "", None, ""):
        if type(module).__name__ in WRAPPERS:
            problems.append(f"{path or 'the model'} is wrapped in {type(module).__name__}: convert before wrapping")
        matching = {pattern for pattern in skip or () if fnmatchcase(path, pattern)}
        if matching or module in leave:
            used |= matching
            left[path] = module
            below.clear()
            continue
        if module is model and skip is None:  # a network is no norm, whatever its class is called
            continue
        try:
            description = found[id(module)].description if id(module) in found else describe(module, known)
        except UnknownNorm as error:
            problems.append(f"{path or 'the model'} {error}")
            below.clear()
            continue
        if description is not None:
            found.setdefault(id(module), Layer(module, description)).places.append((path, parent, name))
            below.clear()
    skipped = list(left.values())
    registered = set(model.modules())
    for place, module in modules_within(model, skipped).items():
        if module not in registered:  # in a plain list alone, for example
            try:
                description = describe(module, known)
            except UnknownNorm as error:
                problems.append(f"{place} {error}")
                continue
            if description is not None:
                found.setdefault(id(module), Layer(module, description)).places.append((place, None, ""))
    for place, module in beside_submodules(model, skipped):
        if id(module) in found:
            found[id(module)].beside.append(place)
    if problems:
        raise UnknownNorm(
            "some norms cannot be replaced; nothing was changed:\n  "
            + "\n  ".join(problems)
            + ("" if skip is None else "\nTo leave such a module as it is, name it in skip=[...]")
        )
    if skip and set(skip) - used:
        raise ValueError(f"skip names {sorted(set(skip) - used)}, but no module of the model has such a path")
    return FoundNorms(list(found.values()), left, _others(model, {layer.module for layer in found.values()}, skipped))


def _others(model: nn.Module, found: set[nn.Module], skipped: list[nn.Module]) -> dict[str, tuple[nn.Module, str]]:
    """Calls of norm functions, and modules that call themselves norms but have no numbers.

    An example is timm's SimpleNorm(affine=False).
    """
    passed_by = found | {inner for module in skipped for inner in module.modules()}
    others = {
        path: (module, f"it calls {', '.join(called)}, a function, which cannot be replaced")
        for path, module, called in hidden_calls(model, passed_by)
    }
    for path, module in model.named_modules():
        if path not in others and module not in passed_by and is_without_numbers(module):
            others[path] = (
                module,
                "it calls itself a norm, but has no numbers for its channels that could identify it",
            )
    return others


def _walk(
    module: nn.Module, path: str, parent: nn.Module | None, name: str
) -> Iterator[tuple[str, nn.Module | None, str, nn.Module, dict[str, nn.Module]]]:
    """Every module at every place, parents first. The last part is its children; whoever empties it goes no deeper."""
    children = {key: child for key, child in module._modules.items() if child is not None}
    yield path, parent, name, module, children
    for child_name, child in children.items():
        yield from _walk(child, f"{path}.{child_name}" if path else child_name, module, child_name)
