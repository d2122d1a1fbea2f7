"""Checks activation checkpointing, which repeats a forward pass in the backward pass. It changes no gradient or state."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, require, require_same_values, state_of
from normlib.testing.subject import draw, norms_in, set_clock, subject

# Forward passes, as seeds of their batches, and the order of the backward passes.
PASSES: dict[str, tuple[Sequence[int], Sequence[int]]] = {
    "one pass": ((5,), (0,)),
    "two passes, backward in their order": ((5, 6), (0, 1)),
    "two passes, backward in the other order": ((5, 6), (1, 0)),
}


def check_checkpointing(norm: str | type[Norm], **settings: Any) -> None:
    """torch.utils.checkpoint, of either kind, changes no gradient, and every pass moves the state once."""
    tested = subject(norm, **settings)
    places = {
        "the norm alone": tested.warmed_up(tested.standing()),
        "a block of layer, norm and ReLU": nn.Sequential(tested.warmed_up(tested.network()), nn.ReLU()),
    }
    for (place, module), reentrant in itertools.product(places.items(), (True, False)):
        set_clock(module)  # once every schedule is over, the state affects the output

        def checkpointed(module: nn.Module, x: Tensor, reentrant: bool = reentrant) -> Tensor:
            y: Tensor = checkpoint(module, x, use_reentrant=reentrant)
            return y

        for passes, (seeds, order) in PASSES.items():
            batches = [draw(tested.images, seed=seed) for seed in seeds]
            plain, other = copy.deepcopy(module), copy.deepcopy(module)
            expected = _gradients(plain, batches, order, nn.Module.__call__)
            got = _gradients(other, batches, order, checkpointed)
            what = f"a checkpoint (use_reentrant={reentrant}) around {place}, {passes}"
            require_same_values(got, expected, ROUNDING, f"{what}: gradients")
            require_same_values(state_of(other), state_of(plain), ROUNDING, f"{what}: state")
            for one, right in zip(norms_in(other), norms_in(plain), strict=True):
                require(one.report() == right.report(), f"{what}: reports {one.report()}, not {right.report()}")


def _gradients(
    module: nn.Module, batches: Sequence[Tensor], order: Sequence[int], call: Callable[..., Tensor]
) -> dict[str, Tensor]:
    """All gradients after a forward pass of each batch and then a backward pass of each, in this order."""
    inputs = [x.clone().requires_grad_() for x in batches]
    outputs = [call(module, x) for x in inputs]
    for index in order:
        (outputs[index] * draw(tuple(outputs[index].shape), seed=40 + index)).sum().backward()
    leaves = {**dict(module.named_parameters()), **{f"input {index}": x for index, x in enumerate(inputs)}}
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
