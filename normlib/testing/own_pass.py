"""Checks state that moves between a forward pass and its backward pass: the gradient still belongs to its own pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, require_same_values
from normlib.testing.subject import Subject, draw, set_clock, subject

# The events in turn, and the order of the backward passes. An event's index is its batch.
COURSES: tuple[tuple[Sequence[str], Sequence[int]], ...] = (
    (("eval", "train"), (0,)),
    (("train", "train"), (0, 1)),
    (("train", "train"), (1, 0)),
    (("eval", "load"), (0,)),
)


def check_own_pass(norm: str | type[Norm], **settings: Any) -> None:
    """A gradient belongs to its own forward pass, even if training passes or loaded statistics come in between."""
    tested = subject(norm, **settings)
    for course, order in COURSES:
        expected = _gradients(tested, course, order, at_once=True)
        got = _gradients(tested, course, order, at_once=False)
        what = f"{', then '.join(course)}, then backward of pass {' and '.join(str(index + 1) for index in order)}"
        require_same_values(got, expected, ROUNDING, f"{what}: gradients")


def _late(tested: Subject, shift: float = 0.0) -> nn.Module:
    """Warmed up, and so late in the run that every schedule is over: then the state affects the output."""
    module: nn.Module = tested.warmed_up(tested.standing())
    set_clock(module)
    module(draw(tested.images, seed=8) + shift)
    return module


def _gradients(tested: Subject, course: Sequence[str], order: Sequence[int], at_once: bool) -> dict[str, Tensor]:
    """The gradients of the inputs and, summed, of the parameters. Each pass goes backward at once, or all at the end."""
    module = _late(tested)
    inputs: dict[int, Tensor] = {}
    losses: dict[int, Tensor] = {}
    for index, event in enumerate(course):
        if event == "load":  # only the buffers: autograd itself refuses changed parameters
            other = _late(tested, shift=2.0)
            parameters = dict(other.named_parameters())
            loaded = {name: value for name, value in other.state_dict().items() if name not in parameters}
            module.load_state_dict(loaded, strict=False)
            continue
        inputs[index] = draw(tested.images, seed=5 + index).requires_grad_()
        y = module.train(event == "train")(inputs[index])
        losses[index] = (y * draw(tuple(y.shape), seed=40 + index)).sum()
        if at_once and index in order:
            losses[index].backward()
    for index in [] if at_once else order:
        losses[index].backward()
    leaves = {**dict(module.named_parameters()), **{f"input {index + 1}": inputs[index] for index in order}}
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
