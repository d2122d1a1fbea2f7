"""Checks on torch's tracers: in a traced network the norm is one call, and does the same as outside."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, fx, nn

from normlib.norms.base import Norm
from normlib.testing.requirements import (
    ROUNDING,
    ContractError,
    require,
    require_close,
    require_same_values,
    state_of,
)
from normlib.testing.subject import draw, norms_in, subject


class _WithMask(nn.Module):
    """A network that passes a mask on to the norm."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.norm(x, mask=mask)


def check_fx(norm: str | type[Norm], **settings: Any) -> None:
    """torch.fx.symbolic_trace takes a network with the norm as one call of a module, and the graph does the same."""
    tested = subject(norm, **settings)
    network = nn.Sequential(tested.warmed_up(tested.network()), nn.ReLU())
    _check_traced(network, draw(tested.images, seed=5))
    if tested.cls.takes_mask:
        mask = torch.ones((tested.images[0], *tested.images[2:]), dtype=torch.bool)
        mask[1:, 2:] = False
        _check_traced(_WithMask(tested.warmed_up()), draw(tested.images, seed=5), mask)


def _check_traced(network: nn.Module, *inputs: Tensor) -> None:
    given = "an input and a mask" if len(inputs) > 1 else "an input"
    try:
        traced = fx.symbolic_trace(network)
    except Exception as error:  # of any kind: a Proxy can fail anywhere
        raise ContractError(
            f"torch.fx.symbolic_trace fails ({str(error).strip().splitlines()[0]}); answer an fx.Proxy with "
            "x.tracer.create_proxy('call_module', x.tracer.path_of_module(self), (x,), {})"
        ) from error
    called = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    for path, module in network.named_modules():
        if isinstance(module, Norm):
            require(called.count(path) == 1, f"traced by torch.fx with {given}, the norm is not one call of a module")
    for training in (True, False):
        eager = copy.deepcopy(network).train(training)
        graph = copy.deepcopy(traced).train(training)
        what = f"traced by torch.fx with {given}, in {'training' if training else 'eval mode'}"
        require_close(graph(*inputs), eager(*inputs), ROUNDING, what)
        expected = state_of(eager)
        state = {name: value for name, value in state_of(graph).items() if name in expected}
        require_same_values(state, expected, ROUNDING, f"{what}: state")


def check_jit_trace(norm: str | type[Norm], **settings: Any) -> None:
    """torch.jit.trace gives a module that does and moves the same, or is refused with a reason that names it."""
    tested = subject(norm, **settings)
    for training in (False, True):
        network: Any = tested.warmed_up(tested.standing()).train(training)
        eager, x = copy.deepcopy(network), draw(tested.images)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                traced: Any = torch.jit.trace(network, (x,), check_trace=False)
            except Exception as error:  # of any kind; only the words count
                require(training, f"torch.jit.trace fails in eval mode: {error}")
                require(
                    "torch.jit.trace" in str(error),
                    f"torch.jit.trace fails in training without a reason that names it, such as 'torch.jit.trace would fix ...': {error}",
                )
                continue
        eager(x)  # as tracing did
        what = f"traced by torch.jit in {'training' if training else 'eval mode'}"
        for seed in (5, 6):
            x = draw((seed, *tested.images[1:]), seed=seed)
            require_close(traced(x), eager(x), ROUNDING, f"{what}, a batch of {seed}")
        require_same_values(state_of(traced), state_of(eager), ROUNDING, f"{what}: state after two batches")
        for one, other in zip(norms_in(network), norms_in(eager), strict=True):
            require(one.report() == other.report(), f"{what} it reports {one.report()}, not {other.report()}")
