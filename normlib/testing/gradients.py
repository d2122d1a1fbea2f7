"""Checks on gradients: first and second ones are those of finite differences in float64, in every layout and at every size.

What a norm declares to hold constant (`constant_in_gradient`) passes through its `stop_gradient`; here the values of the
first call are put in its place in every further one, so that finite differences hold it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from normlib.norms.base import Norm
from normlib.testing.finite_differences import require_gradients
from normlib.testing.requirements import ContractError, accepted, require
from normlib.testing.subject import LAYOUTS, Subject, draw, set_clock, subject

# Norms may take another way through large inputs; from 2^16 values on (16 channels) normlib's do.
LARGE = (4, 32, 32)  # samples and positions


class Held:
    """Stands in for `stop_gradient`: keeps the values of the first call of the norm and gives them back in every further call."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.position: int | None = None

    def __call__(self, value: Tensor) -> Tensor:
        if self.position is None:
            self.values.append(value.detach().clone())
            return value.detach()
        self.position += 1
        return self.values[self.position - 1]


@dataclass(frozen=True)
class Case:
    """A norm as a function of its input and parameters, at these values; few enough of them to look at each, or not."""

    what: str
    function: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    few: bool
    num_held: int


def check_gradients(norm: str | type[Norm], **settings: Any) -> None:
    """Gradients to the input and the parameters are those of finite differences, in training and in eval mode."""
    of = subject(norm, **settings)
    held = 0
    for case in _cases(of):
        held += case.num_held
        what = f"gradients ({case.what}) are not those of finite differences"
        if case.few:
            _by_torch(torch.autograd.gradcheck, what, case.function, case.inputs)
        else:
            require_gradients(case.function, case.inputs, draw, what)
    if not settings:
        declared = of.cls.constant_in_gradient
        require(
            bool(declared) == bool(held),
            f"declares constant_in_gradient={declared!r}, but takes {held or 'nothing'} through self.stop_gradient() in training",
        )


def check_second_gradients(norm: str | type[Norm], **settings: Any) -> None:
    """Gradients of gradients are those of finite differences: gradient penalties and sharpness can be trained on."""
    of = subject(norm, **settings)
    for case in _cases(of):
        weighting = draw(tuple(case.inputs[0].shape), seed=4, dtype=torch.float64)

        def gradients(*inputs: Tensor, case: Case = case, weighting: Tensor = weighting) -> tuple[Tensor, ...]:
            return torch.autograd.grad(case.function(*inputs), inputs, weighting, create_graph=True)

        what = f"gradients of gradients ({case.what}) are not those of finite differences"
        if case.few:
            weightings = (weighting.requires_grad_(),)
            _by_torch(torch.autograd.gradgradcheck, what, case.function, case.inputs, weightings, fast_mode=True)
        else:
            require_gradients(gradients, case.inputs, draw, what)


def _by_torch(check: Callable[..., bool], what: str, *inputs: Any, **options: Any) -> None:
    try:
        check(*inputs, **options)
    except GradcheckError as error:
        raise ContractError(
            f"{what}: {str(error).splitlines()[0]} What the gradient is to take as constant is declared as constant_in_gradient "
            "and passes through self.stop_gradient(value)."
        ) from error


def _cases(of: Subject) -> Iterator[Case]:
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
        function, stand_ins = _as_function(module)
        inputs = (
            x.requires_grad_(),
            *(parameter.detach().clone().requires_grad_() for parameter in module.parameters()),
        )
        function(*inputs)
        held = sum(len(stand_in.values) for stand_in in stand_ins) if module.training else 0
        yield Case(layout + mode, function, inputs, few=layout == "" and isinstance(module, Norm), num_held=held)


def _as_function(module: nn.Module) -> tuple[Callable[..., Tensor], list[Held]]:
    """The module as a function of its input and parameters that always starts from the same state, and what it holds constant:
    the values of the first call."""
    names = [name for name, _ in module.named_parameters()]
    holders: list[Any] = [part for part in module.modules() if hasattr(part, "stop_gradient")]  # norms and their parts
    stand_ins = [Held() for _ in holders]
    for holder, stand_in in zip(holders, stand_ins, strict=True):
        holder.stop_gradient = stand_in
    calls = [0]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        for stand_in in stand_ins:
            stand_in.position = 0 if calls[0] else None
        calls[0] += 1
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        return torch.func.functional_call(module, {**dict(zip(names, parameters)), **buffers}, (x,))

    return run, stand_ins
