"""The kinds of call of a model, by the optional arguments that they give.

In: a model and example inputs. Out: the traced paths for each kind of call that can be traced, and a hook for the
folded model. The hook refuses every other kind. This file changes nothing.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from normlib.conversion.examples import Example
from normlib.conversion.trace import FREE, NotTraceable, TracedPath, trace_paths

MOST_COMBINED = 3  # the most optional arguments that are combined; of more, one at a time is traced
PLAIN = (type(None), bool, int, float, str)


class OnlyKnownCalls:
    """A hook ahead of a folded model's forward. It refuses optional arguments that fold did not trace.

    `followed` are sets of names that were traced. `proved` are values by name that an example gave.
    """

    def __init__(self, followed: Collection[frozenset[str]], proved: Collection[Mapping[str, Any]]) -> None:
        self.followed, self.proved = frozenset(followed), tuple(proved)

    def words(self) -> str:
        """The optional arguments that may be given."""
        sets = [" and ".join(sorted(names)) for names in self.followed if names]
        values = [", ".join(f"{name}={_shown(value)}" for name, value in example.items()) for example in self.proved]
        return "; or ".join(sorted({*sets, *values})) or "none"

    def __call__(self, module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        given = given_arguments(module, args, named)
        if frozenset(given) in self.followed:
            return
        if any(_same(given, example) for example in self.proved):
            return
        raise ValueError(
            f"this {type(module).__name__} was folded without a look at calls with {', '.join(sorted(given))} given, which may reach "
            "what folding changed; fold it with such a call among example_inputs"
        )


def given_arguments(module: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """The optional arguments of a call that differ from their defaults, by name. Raises TypeError as a call does."""
    signature = inspect.signature(module.forward)
    found: dict[str, Any] = {}
    for name, value in signature.bind(*args, **named).arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if len(signature.parameters) > 1:
                found[name] = value
        elif parameter.default is not parameter.empty and not _equal(value, parameter.default):
            found[name] = value
    return found


def _takes_any_number(model: nn.Module) -> bool:
    """Whether forward takes arguments that it does not name, beside others."""
    parameters = inspect.signature(model.forward).parameters.values()
    return len(parameters) > 1 and any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def _same(given: Mapping[str, Any], example: Mapping[str, Any]) -> bool:
    return given.keys() == example.keys() and all(
        _equal(value, example[name]) or isinstance(value, Tensor) for name, value in given.items()
    )


def _equal(value: Any, other: Any) -> bool:
    return value is other or (isinstance(value, PLAIN) and type(value) is type(other) and value == other)


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, PLAIN) else type(value).__name__


def optional_arguments(model: nn.Module) -> list[str]:
    """The names of the arguments of the model's forward that have a default."""
    parameters = inspect.signature(model.forward).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is not parameter.empty]


def follow(
    model: nn.Module, leaves: set[str], examples: Sequence[Example]
) -> tuple[list[tuple[Mapping[str, Any], list[TracedPath]]], OnlyKnownCalls | None]:
    """The traced paths of each kind of call, and a hook that refuses the other kinds, if there are any."""
    kind = type(model).__name__
    try:
        traced_paths: list[tuple[Mapping[str, Any], list[TracedPath]]] = [({}, trace_paths(model, leaves, {}))]
    except NotTraceable as error:
        raise ValueError(
            f"who uses which output in this {kind} cannot be found by tracing it ({error}); "
            "fold a part that can be traced, as in model.backbone = normlib.fold(model.backbone)"
        ) from error
    optional = optional_arguments(model)
    most = len(optional) if len(optional) <= MOST_COMBINED else 1
    proved = [given for example in examples if (given := given_arguments(model, example.args, example.named))]
    kinds = [dict.fromkeys(names, FREE) for n in range(1, most + 1) for names in itertools.combinations(optional, n)]
    followed = {frozenset[str]()}
    for given in kinds + [{name: _plain_or_free(value) for name, value in given.items()} for given in proved]:
        try:
            traced_paths.append((given, trace_paths(model, leaves, given)))
        except NotTraceable:
            continue  # such calls are refused, unless an example proves them
        if all(value is FREE for value in given.values()):
            followed.add(frozenset(given))
    everything = len(followed) == 2 ** len(optional) and not _takes_any_number(model)
    return traced_paths, None if everything else OnlyKnownCalls(followed, proved)


def _plain_or_free(value: Any) -> Any:
    return value if isinstance(value, PLAIN) and value is not None else FREE
