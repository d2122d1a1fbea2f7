"""Traces by torch.fx which calls of a model's layers use whose output.

In: a model and the arguments of a call. Out: one `TracedPath` for each path through its `if`s. Both sides of each `if`
are followed, since the input may decide which one is taken. The model itself is not touched: a copy that shares its
tensors is traced.
"""

from __future__ import annotations

import copy
import dis
import gc
import inspect
import sys
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, fx, nn

from normlib.errors import NormlibError

MOST_WAYS = 64  # six independent ifs; each path is traced once
FREE = object()
"""The value of an argument that may be anything."""


class NotTraceable(NormlibError, ValueError):
    """The calls of a model cannot be found. The message says why."""


@dataclass(frozen=True)
class TracedPath:
    """One path through a model: its calls, the outputs that something still holds after it, and the constants in it."""

    graph: fx.Graph
    held_outputs: frozenset[str]
    constants: Mapping[str, Tensor]


def trace_paths(model: nn.Module, leaves: Collection[str], given: Mapping[str, Any]) -> list[TracedPath]:
    """The paths through the model when it is called with its required arguments and the `given` ones.

    Modules whose path is in `leaves` are single calls. Raises NotTraceable.
    """
    followed: list[tuple[fx.Graph, _Tracer, nn.Module]] = []
    refused = 0
    pending: list[list[bool]] = [[]]
    while pending:
        answers = pending.pop()
        tracer, skeleton = _Tracer(leaves, answers, given), _skeleton(model)
        try:
            followed.append((tracer.trace(skeleton), tracer, skeleton))
        except Exception as error:
            if not _is_refusal(error):
                raise NotTraceable(_short(error)) from error
            refused += 1
        pending += [[*tracer.answers[:index], False] for index in range(len(answers), len(tracer.answers))]
        if len(followed) + refused + len(pending) > MOST_WAYS:
            raise NotTraceable(f"its forward has more than {MOST_WAYS} paths through its ifs")
    if not followed:
        raise NotTraceable("its forward refuses every input")
    if any(tracer.held_outputs() for _, tracer, _ in followed):
        gc.collect()  # cycles hold outputs too, until they are collected; what remains is held by the model or a hook
    return [
        TracedPath(graph, tracer.held_outputs(), _constants(graph, skeleton)) for graph, tracer, skeleton in followed
    ]


def _skeleton(model: nn.Module) -> nn.Module:
    """A copy with the same tensors. Each path gets a new one, since a forward may change attributes."""
    try:
        return copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    except Exception as error:
        raise NotTraceable(f"it cannot be copied, {_short(error)}") from error


def _constants(graph: fx.Graph, skeleton: nn.Module) -> dict[str, Tensor]:
    """The tensors that forward made from nothing, such as torch.ones(3), by their name in torch.fx."""
    names = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    return {name: getattr(skeleton, name) for name in names if name.startswith("_tensor_constant")}


class _Input(fx.Proxy):
    """A value that passes for a tensor, so that `isinstance(x, Tensor)` in a forward gives what it gives in a real
    call."""

    _is_param = _is_buffer = False  # what torch reads from a tensor to recognize a Parameter or a Buffer

    @property
    def __class__(self) -> type:
        return Tensor

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise TypeError("a traced value has no other class")


class _Tracer(fx.Tracer):
    """Answers the questions of `if` from a list, and with True after its end. It keeps its answers."""

    proxy_buffer_attributes = True  # otherwise a buffer that forward counts in would really change

    def __init__(self, leaves: Collection[str], answers: list[bool], given: Mapping[str, Any]) -> None:
        timm: Any = sys.modules.get("timm.layers")  # marks what cannot be traced
        functions = tuple(timm.get_notrace_functions()) if timm else ()
        super().__init__(autowrap_functions=functions)
        self.notrace = tuple(timm.get_notrace_modules()) if timm else ()
        self.leaves, self.prepared, self.call = leaves, answers, given
        self.answers: list[bool] = []
        self.proxies: dict[str, weakref.ref[fx.Proxy]] = {}

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """Call the model itself with hooks, a value for each required argument, and the given ones."""
        root: Any = self.root
        positional, named = [], dict[str, Any]()
        parameters = inspect.signature(root.forward).parameters
        for name, parameter in parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL and len(parameters) == 1:
                positional.append(self.create_proxy("placeholder", name, (), {}))
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            value = self.call.get(name, FREE if parameter.default is parameter.empty else parameter.empty)
            if value is FREE:
                value = self.create_proxy("placeholder", name, (), {})
            if parameter.kind is parameter.POSITIONAL_ONLY and value is not parameter.empty:
                positional.append(value)
            elif value is not parameter.empty:
                named[name] = value
        return lambda: root(*positional, **named), []

    def held_outputs(self) -> frozenset[str]:
        """The nodes whose output something still holds."""
        return frozenset(name for name, proxy in self.proxies.items() if proxy() is not None)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        made = _Input(node, self)
        if node.op not in ("placeholder", "get_attr"):  # nothing outputs those
            self.proxies[node.name] = weakref.ref(made)
        return made

    def create_arg(self, a: Any) -> Any:
        return a.node if isinstance(a, fx.Proxy) else super().create_arg(a)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if not module_qualified_name:
            return False
        known = module_qualified_name in self.leaves or isinstance(m, self.notrace)
        return known or super().is_leaf_module(m, module_qualified_name)

    def to_bool(self, obj: fx.Proxy) -> bool:
        asked = len(self.answers)
        self.answers.append(self.prepared[asked] if asked < len(self.prepared) else True)
        if asked >= MOST_WAYS:
            raise fx.proxy.TraceError("its forward loops for as long as its input says")
        return self.answers[-1]


def same_calls(one: TracedPath, other: TracedPath) -> bool:
    """Whether two paths make the same calls with the same arguments, in the same order."""
    if len(one.graph.nodes) != len(other.graph.nodes):
        return False
    number = [{node: index for index, node in enumerate(way.graph.nodes)} for way in (one, other)]
    for a, b in zip(one.graph.nodes, other.graph.nodes, strict=True):
        of_a, of_b = (
            (n.op, n.target, fx.map_arg((n.args, n.kwargs), number[i].__getitem__)) for i, n in enumerate((a, b))
        )
        if of_a != of_b:
            return False
    return one.constants.keys() == other.constants.keys() and all(
        torch.equal(value, other.constants[name]) for name, value in one.constants.items()
    )


def _is_refusal(error: Exception) -> bool:
    """Whether a `raise` or `assert` of the model's own ended the call, and not a limit of tracing.

    An error while formatting the message counts too, since it may format a size, which is not known here.
    """
    last: TracebackType | None = error.__traceback__
    if last is None or error.__context__ is not None:  # raised because of another error, which may be tracing's
        return False
    if isinstance(error, AttributeError | NameError):  # a missing name does not depend on the input
        return False
    while last.tb_next is not None:
        last = last.tb_next
    if str(last.tb_frame.f_globals.get("__name__")).startswith("torch.fx"):
        return False
    for step in dis.get_instructions(last.tb_frame.f_code):
        if step.offset < last.tb_lasti:
            continue
        if step.opname == "RAISE_VARARGS":
            return True
        if step.opname.startswith(("STORE", "RETURN", "POP", "DELETE", "YIELD", "FOR_ITER")) or "JUMP" in step.opname:
            return False
    return False


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
