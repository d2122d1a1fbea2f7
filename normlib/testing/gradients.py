"""Checks on gradients: first and second gradients agree with finite differences in float64, in every layout and size.

A norm may declare that its gradient takes something as constant (`constant_in_gradient`). Such values pass through its
`stop_gradient`. Here every further call reuses the values of the first call, so finite differences hold them constant,
too.
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

# Norms may use other code for large inputs. normlib's do from 2^16 values on (16 channels).
LARGE = (4, 32, 32)  # samples and positions


class Held:
    """Replaces `stop_gradient`: keeps the values of the norm's first call and returns them in every further call."""

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
    """A norm as a function of its input and parameters, at these values. `few`: few enough to check each of them."""

    what: str
    function: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    few: bool
    num_held: int


def check_gradients(norm: str | type[Norm], **settings: Any) -> None:
    """Gradients for the input and the parameters agree with finite differences, in training and in eval mode."""
    tested = subject(norm, **settings)
    held = 0
    for case in _cases(tested):
        held += case.num_held
        what = f"gradients ({case.what}) are not those of finite differences"
        if case.few:
            _by_torch(torch.autograd.gradcheck, what, case.function, case.inputs)
        else:
            require_gradients(case.function, case.inputs, draw, what)
    if not settings:
        declared = tested.cls.constant_in_gradient
        require(
            bool(declared) == bool(held),
            f"declares constant_in_gradient={declared!r}, but takes {held or 'nothing'} through self.stop_gradient() in training",
        )


def check_second_gradients(norm: str | type[Norm], **settings: Any) -> None:
    """Gradients of gradients agree with finite differences, so gradient penalties and sharpness can be trained on."""
    tested = subject(norm, **settings)
    for case in _cases(tested):
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
            f"{what}: {str(error).splitlines()[0]} Declare what the gradient should take as constant in constant_in_gradient, "
            "and pass it through self.stop_gradient(value)."
        ) from error


def _cases(tested: Subject) -> Iterator[Case]:
    images = (3, tested.channels, 2, 2)
    large = (LARGE[0], tested.channels, *LARGE[1:])
    layouts = {"": images, "flat, ": (4, tested.channels), "channels_last, ": images, "large, ": large}
    cases = [("training", layout) for layout in layouts] + [("training late in the run", ""), ("eval mode", "")]
    for mode, layout in cases:
        shape = layouts[layout]
        module = tested.standing(len(shape) - 2)
        if accepted(module, draw(shape)) is None:
            continue  # check_degenerate covers this
        module = tested.warmed_up(module, (6, *shape[1:])).double()
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
    """The module as a function of its input and parameters, and what it holds constant: the values of the first call.

    The function always starts from the same state.
    """
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
