"""Checks on gradients: first and second ones are those of finite differences in float64, in every layout and at every size.

What a norm declares to hold constant (`constant_in_gradient`) passes through its `held_constant`; here the values of the
first call are put in its place in every further one, so that finite differences hold it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from normlib.norms.base import Norm
from normlib.testing.requirements import ContractError, accepted, require
from normlib.testing.subject import LAYOUTS, Subject, draw, set_clock, subject

# Norms may take another way through large inputs; from 2^16 values on (16 channels) normlib's do. gradcheck's fast mode, which
# looks in one direction only, makes that as cheap as a few forward passes.
LARGE = (4, 32, 32)  # samples and positions


class Held:
    """Stands in for `held_constant`: keeps the values of the first call of the norm and gives them back in every further call."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.position: int | None = None

    def __call__(self, value: Tensor) -> Tensor:
        if self.position is None:
            self.values.append(value.detach().clone())
            return value.detach()
        self.position += 1
        return self.values[self.position - 1]


def check_gradients(norm: str | type[Norm], **settings: Any) -> None:
    """Gradients to the input and the parameters are those of finite differences, in training and in eval mode."""
    of = subject(norm, **settings)
    held = 0
    for what, run, inputs, few, taken in _cases(of):
        held += taken
        try:
            torch.autograd.gradcheck(run, inputs, fast_mode=not few)
        except GradcheckError as error:
            raise ContractError(_message("gradients", what, error)) from error
    if not settings:
        declared = of.cls.constant_in_gradient
        require(
            bool(declared) == bool(held),
            f"declares constant_in_gradient={declared!r}, but takes {held or 'nothing'} through self.held_constant() in training",
        )


def check_second_gradients(norm: str | type[Norm], **settings: Any) -> None:
    """Gradients of gradients are those of finite differences: gradient penalties and sharpness can be trained on."""
    of = subject(norm, **settings)
    for what, run, inputs, _, _ in _cases(of):
        weighting = draw(tuple(inputs[0].shape), seed=4, dtype=torch.float64).requires_grad_()
        try:
            torch.autograd.gradgradcheck(run, inputs, (weighting,), fast_mode=True)
        except GradcheckError as error:
            raise ContractError(_message("gradients of gradients", what, error)) from error


def _cases(of: Subject) -> Iterator[tuple[str, Callable[..., Tensor], tuple[Tensor, ...], bool, int]]:
    """For each mode and input: what it is, the norm as a function of its input and parameters, these, whether they are few
    enough to look at each, and how many values the norm held constant."""
    images = (3, of.channels, 2, 2)
    large = (LARGE[0], of.channels, *LARGE[1:])
    layouts = {"": images, "flat, ": (4, of.channels), "channels_last, ": images, "large, ": large}
    cases = [("training", layout) for layout in layouts] + [("training late in the run", ""), ("eval mode", "")]
    for mode, layout in cases:
        shape = layouts[layout]
        module = of.standing(len(shape) - 2)
        if accepted(module, draw(shape)) is None:
            continue  # as check_degenerate has it
        module = of.warmed_up(module, (6, *shape[1:])).double()
        if mode.endswith("run") and not set_clock(module):
            continue
        module.train(mode != "eval mode")
        x = draw(shape, dtype=torch.float64)
        if layout == "channels_last, ":
            x = x.contiguous(memory_format=LAYOUTS[4])
        run, stand_ins = _as_function(module)
        parameters = [parameter.detach().clone().requires_grad_() for parameter in module.parameters()]
        run(x.requires_grad_(), *parameters)
        held = sum(len(stand_in.values) for stand_in in stand_ins)
        few = layout == "" and isinstance(module, Norm)
        yield layout + mode, run, (x, *parameters), few, held if module.training else 0


def _as_function(module: nn.Module) -> tuple[Callable[..., Tensor], list[Held]]:
    """The module as a function of its input and parameters that always starts from the same state, and what it holds constant:
    the values of the first call."""
    names = [name for name, _ in module.named_parameters()]
    holders: list[Any] = [part for part in module.modules() if hasattr(part, "held_constant")]  # norms and their parts
    stand_ins = [Held() for _ in holders]
    for holder, stand_in in zip(holders, stand_ins, strict=True):
        holder.held_constant = stand_in
    calls = [0]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        for stand_in in stand_ins:
            stand_in.position = 0 if calls[0] else None
        calls[0] += 1
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        return torch.func.functional_call(module, {**dict(zip(names, parameters)), **buffers}, (x,))

    return run, stand_ins


def _message(which: str, what: str, error: Exception) -> str:
    return (
        f"{which} ({what}) are not those of finite differences: {str(error).splitlines()[0]}; what the gradient is to take as "
        "constant is declared as constant_in_gradient and passes through self.held_constant(value)"
    )
