"""The one module ahead of a norm, and whether somebody else sees its output.

In come the graphs of a model and the path of a norm, out goes the module's path; `CannotFold` says why there is none. This
file looks at who calls what, and not at what a module is.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx, nn

from normlib.conversion.hooks import is_hooked
from normlib.errors import NormlibError

PASSES_THROUGH = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)  # in eval mode


class CannotFold(NormlibError, ValueError):
    """A norm that has to stay; the message is the reason, about "it"."""


def layer_ahead(model: nn.Module, path: str, graphs: Sequence[fx.Graph]) -> str:
    """The path of the module whose output is the norm's input, at each of the norm's calls."""
    calls = [node for graph in graphs for node in graph.nodes if _is_call(node, path)]
    if not calls:
        raise CannotFold("it is not called by the model's forward, or within a module that cannot be looked into")
    sources = [_source(model, node) for node in calls]
    others = [node for node in sources if node.op != "call_module"]
    if others:
        raise CannotFold(f"it follows {_words(others[0])}, not a layer")
    ahead = {str(node.target) for node in sources}
    if len(ahead) > 1:
        raise CannotFold(f"it follows several layers: {', '.join(sorted(ahead))}")
    return ahead.pop()


def require_only_use(model: nn.Module, layer: str, path: str, graphs: Sequence[fx.Graph]) -> None:
    """Refuse a layer whose output, or whose weights, are used by anything but the norm at `path`."""
    for node in (node for graph in graphs for node in graph.nodes):
        if _is_call(node, layer) and not _feeds_only(model, node, path):
            raise CannotFold(f"the output of {layer} is used elsewhere, too")
        if node.op == "get_attr" and str(node.target).startswith(f"{layer}."):
            raise CannotFold(f"the weights of {layer} are used elsewhere, too")


def _is_call(node: fx.Node, path: str) -> bool:
    return node.op == "call_module" and node.target == path


def _source(model: nn.Module, call: fx.Node) -> fx.Node:
    """Whose output the norm called here receives."""
    if len(call.all_input_nodes) != 1 or len(call.args) + len(call.kwargs) != 1:
        raise CannotFold("it is called with more than its input")
    node = call.all_input_nodes[0]
    while _passes_through(model, node):
        node = node.all_input_nodes[0]
    return node


def _feeds_only(model: nn.Module, node: fx.Node, path: str) -> bool:
    """Whether the node's output goes to calls of the norm and nowhere else."""
    return all(
        _is_call(user, path) or (_passes_through(model, user) and _feeds_only(model, user, path)) for user in node.users
    )


def _passes_through(model: nn.Module, node: fx.Node) -> bool:
    if node.op != "call_module":
        return False
    module = model.get_submodule(str(node.target))
    return isinstance(module, PASSES_THROUGH) and not module.training and not is_hooked(module)


def _words(node: fx.Node) -> str:
    if node.op == "placeholder":
        return "the model's input"
    return getattr(node.target, "__name__", str(node.target))
