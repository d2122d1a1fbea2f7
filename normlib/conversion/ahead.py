"""Finds the one layer ahead of a norm, and whether anything else uses its output or its weights.

In: the traced paths through a model and the path of a norm. Out: a `LayerAhead`, or a `CannotFold` that says why there
is none. This file looks at who calls what, not at what a module computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import fx, nn

from normlib.conversion.channels import keeps_channels, uses_shape_only
from normlib.conversion.trace import TracedPath
from normlib.errors import NormlibError


class CannotFold(NormlibError, ValueError):
    """A norm has to stay. The message is the reason, and calls the norm "it"."""


@dataclass(frozen=True)
class LayerAhead:
    """The module ahead of a norm.

    `layer` is its path. `between` are the calls between it and the norm, for each call of the norm.
    """

    layer: str
    between: tuple[tuple[fx.Node, ...], ...]


def find_layer_ahead(model: nn.Module, path: str, traced_paths: Sequence[TracedPath]) -> LayerAhead:
    """The module whose output is the norm's input, at each of the norm's calls."""
    calls = [node for traced_path in traced_paths for node in traced_path.graph.nodes if _is_call(node, path)]
    if not calls:
        raise CannotFold("it is not called by the model's forward, or is inside a module that cannot be traced")
    found = [_source(model, node) for node in calls]
    others = [source for source, _ in found if source.op != "call_module"]
    if others:
        raise CannotFold(f"it follows {_words(others[0])}, not a layer")
    layers = {str(source.target) for source, _ in found}
    if len(layers) > 1:
        raise CannotFold(f"it follows several layers: {', '.join(sorted(layers))}")
    return LayerAhead(layers.pop(), tuple(between for _, between in found))


def require_only_use(model: nn.Module, layer: str, path: str, traced_paths: Sequence[TracedPath]) -> None:
    """Refuse layer and norm if anything else uses the layer's output, or the weights of one of them."""
    pair = {name: model.get_submodule(name) for name in (layer, path)}
    tensors = {name: {id(t) for t in _tensors(module)} for name, module in pair.items()}
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for traced_path in traced_paths:
        for node in traced_path.graph.nodes:
            if _is_call(node, layer) and not _feeds_only(model, node, path, traced_path):
                raise CannotFold(f"the output of {layer} is also used elsewhere")
            around = model.get_submodule(str(node.target)) if node.op == "call_module" else nn.Identity()
            for name, module in pair.items():
                reads = node.op == "get_attr" and id(named.get(str(node.target))) in tensors[name]
                if reads or (node.op == "get_attr" and str(node.target).startswith(f"{name}.")):
                    raise CannotFold(f"the weights of {name} are also used elsewhere")
                if around._modules and around is not module and module in set(around.modules()):
                    raise CannotFold(f"{name} is also inside {node.target}, which cannot be traced")


def _tensors(module: nn.Module) -> Iterator[object]:
    yield from module.parameters()
    yield from module.buffers()


def _is_call(node: fx.Node, path: str) -> bool:
    return node.op == "call_module" and node.target == path


def _source(model: nn.Module, call: fx.Node) -> tuple[fx.Node, tuple[fx.Node, ...]]:
    """The node whose output the called norm receives, and the calls between the two."""
    if len(call.all_input_nodes) != 1 or len(call.args) + len(call.kwargs) != 1:
        raise CannotFold("it is called with more arguments than its input")
    node, between = call.all_input_nodes[0], list[fx.Node]()
    while keeps_channels(model, node) and isinstance(node.args[0] if node.args else None, fx.Node):
        between.insert(0, node)
        node = node.args[0]  # type: ignore[assignment]
    return node, tuple(between)


def _feeds_only(model: nn.Module, node: fx.Node, path: str, traced_path: TracedPath) -> bool:
    """Whether the node's output goes to calls of the norm and nowhere else."""
    return node.name not in traced_path.held_outputs and all(
        uses_shape_only(user, node)
        or _is_call(user, path)
        or (keeps_channels(model, user) and user.args[0] is node and _feeds_only(model, user, path, traced_path))
        for user in node.users
    )


def _words(node: fx.Node) -> str:
    if node.op == "placeholder":
        return "the model's input"
    return getattr(node.target, "__name__", str(node.target))
