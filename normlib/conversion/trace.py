"""Who uses whose output in a model: the calls of its layers, found by torch.fx.

In comes a model, out go graphs, one for each way through its `if`s (both sides of each are followed, since which one is
taken may depend on the input's shape). The model itself is not touched: what is traced is a copy that shares its tensors.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from normlib.errors import NormlibError

MOST_WAYS = 64  # six independent ifs; each way is traced once
PLAIN = (type(None), bool, int, float, str)


class NotTraceable(NormlibError, ValueError):
    """A model whose calls cannot be found; the message says why."""


def ways_through(model: nn.Module, is_leaf: Callable[[nn.Module], bool]) -> list[fx.Graph]:
    """The graphs of the model as it is called with its required arguments alone. `is_leaf` says which modules are not looked into."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    skeleton = copy.deepcopy(model, dict(tensors))
    defaults = {
        name: argument.default
        for name, argument in inspect.signature(model.forward).parameters.items()
        if isinstance(argument.default, PLAIN)
    }
    graphs: list[fx.Graph] = []
    refused = 0
    pending: list[list[bool]] = [[]]
    while pending:
        answers = pending.pop()
        tracer = _Tracer(is_leaf, answers)
        try:
            graphs.append(tracer.trace(skeleton, concrete_args=defaults))
        except (
            AssertionError,
            ValueError,
        ) as error:  # fx's own complaints are ValueErrors, the model's refusals either
            if isinstance(error, fx.proxy.TraceError):
                raise NotTraceable(_short(error)) from error
            refused += 1
        except Exception as error:
            raise NotTraceable(_short(error)) from error
        pending += [[*tracer.answers[:index], False] for index in range(len(answers), len(tracer.answers))]
        if len(graphs) + refused + len(pending) > MOST_WAYS:
            raise NotTraceable(f"its forward has more than {MOST_WAYS} ways through its ifs")
    if not graphs:
        raise NotTraceable("its forward refuses every input")
    return graphs


class _Tracer(fx.Tracer):
    """Answers the questions of `if` from a list, and with True beyond it; keeps what it answered."""

    proxy_buffer_attributes = True  # else a buffer that forward counts in would really be counted

    def __init__(self, is_leaf: Callable[[nn.Module], bool], answers: list[bool]) -> None:
        timm: Any = sys.modules.get("timm.layers")  # marks what cannot be looked into
        functions = tuple(timm.get_notrace_functions()) if timm else ()
        super().__init__(autowrap_functions=functions)
        self.notrace = tuple(timm.get_notrace_modules()) if timm else ()
        self.is_leaf, self.given, self.answers = is_leaf, answers, []

    answers: list[bool]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return self.is_leaf(m) or isinstance(m, self.notrace) or super().is_leaf_module(m, module_qualified_name)

    def to_bool(self, obj: fx.Proxy) -> bool:
        asked = len(self.answers)
        self.answers.append(self.given[asked] if asked < len(self.given) else True)
        if asked >= MOST_WAYS:
            raise fx.proxy.TraceError("its forward loops for as long as its input says")
        return self.answers[-1]


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
