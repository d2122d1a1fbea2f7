"""Compares a function's gradient with finite differences along one direction, at the cost of two more calls.

In: a function of float64 tensors and its inputs. Raises ContractError if the two differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from normlib.testing.requirements import require

STEP = 1e-6  # as torch.autograd.gradcheck
# As a share of the gradient's length, which is about the size of the derivative along a random direction. Rounding in float64,
# divided by the step, is below 1e-8 of it.
ALLOWED = 1e-4


def require_gradients(
    function: Callable[..., Tensor | Sequence[Tensor]], inputs: Sequence[Tensor], draw: Callable[..., Tensor], what: str
) -> None:
    """The gradient of a randomly weighted output agrees with finite differences in a random direction, for each input."""
    outputs = function(*inputs)
    shapes = [tuple(y.shape) for y in _several(outputs)]
    weightings = [draw(shape, seed=50 + index, dtype=torch.float64) for index, shape in enumerate(shapes)]
    value = _dot(outputs, weightings)
    gradients = torch.autograd.grad(value, inputs, allow_unused=True) if value.requires_grad else [None] * len(inputs)
    for index, (x, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        direction = draw(tuple(x.shape), seed=70 + index, dtype=torch.float64)
        ends = []
        for step in (STEP, -STEP):
            moved = [(y + step * direction if y is x else y).detach().requires_grad_() for y in inputs]
            ends.append(_dot(function(*moved), weightings).item())
        expected = (ends[0] - ends[1]) / (2 * STEP)
        got = 0.0 if gradient is None else float((gradient * direction).sum())
        length = 0.0 if gradient is None else float(gradient.norm())
        require(
            abs(got - expected) <= ALLOWED * max(1.0, length),
            f"{what}: along a direction of {'the input' if index == 0 else f'parameter {index}'} the derivative is {got:.6g}, by finite differences {expected:.6g}",
        )


def _several(outputs: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return (outputs,) if isinstance(outputs, Tensor) else outputs


def _dot(outputs: Tensor | Sequence[Tensor], weightings: Sequence[Tensor]) -> Tensor:
    return torch.stack(
        [(y * weighting).sum() for y, weighting in zip(_several(outputs), weightings, strict=True)]
    ).sum()
