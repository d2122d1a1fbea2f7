"""A norm against its float64 reference: outputs, and gradients to the input and to every parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

import normlib.norms
from normlib.testing import draw, require_close

# From rank 2 to 5; the last takes the code for large inputs.
SHAPES = [(6, 8), (6, 8, 5), (6, 8, 5, 4), (4, 8, 3, 4, 2), (32, 8, 20, 20)]
# The same formula in another order of operations: a few roundings of float64 (1e-16), summed over up to 12,800 values.
ROUNDING = 1e-11
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}

Reference = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    """`values` (C,) shaped to go with `x` (N, C, *positions)."""
    return values.view(-1, *[1] * (x.dim() - 2))


def check_against_reference(
    name: str, settings: Mapping[str, Any], reference: Reference, shape: tuple[int, ...]
) -> None:
    """The norm built with `settings` against ``reference(x, parameters)``, at parameters that are not those of a new norm."""
    norm = normlib.norms.create(name, shape[1], dtype=torch.float64, **settings)
    with torch.no_grad():
        for seed, parameter in enumerate(norm.parameters()):
            parameter.add_(draw(tuple(parameter.shape), seed=20 + seed, dtype=torch.float64), alpha=0.1)
    layouts = [torch.contiguous_format, *([LAYOUTS[len(shape)]] if len(shape) in LAYOUTS else [])]
    for layout in layouts:
        values = (draw(shape, dtype=torch.float64) * 3 + 2).contiguous(memory_format=layout)
        ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
        parameters = {key: value.detach().clone().requires_grad_() for key, value in norm.named_parameters()}
        y, expected = norm(ours), reference(theirs, parameters)
        require_close(y, expected, ROUNDING, f"{name} {settings}")
        weights = draw(shape, seed=1, dtype=torch.float64)
        found = torch.autograd.grad(y, [ours, *norm.parameters()], weights)
        right = torch.autograd.grad(expected, [theirs, *parameters.values()], weights)
        for what, one, other in zip(["the input", *parameters], found, right, strict=True):
            require_close(one, other, ROUNDING, f"{name} {settings}: gradient to {what}")
