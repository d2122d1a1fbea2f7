"""Gradients by a formula that autograd follows, for functions with a backward pass written by hand.

Such a backward pass is quick, but serves for plain gradients alone. It cannot be differentiated again, and torch.func
cannot see through it. In: the inputs and the gradient of the output. Out: the gradients of the inputs. This file
computes no norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def needs_formula(gradient: Tensor) -> bool:
    """Whether `gradient` will be differentiated, or stands for many at once, as in vectorized Jacobians."""
    functorch = torch._C._functorch
    return (
        torch.is_grad_enabled() or functorch.is_batchedtensor(gradient) or functorch.is_legacy_batchedtensor(gradient)
    )


def gradients_by_formula(
    formula: Callable[..., Tensor], inputs: Sequence[Tensor | None], needed: Sequence[bool], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradient of ``formula(*inputs)`` for each input that needs one."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        wanted = [tensor for tensor, asked in zip(inputs, needed, strict=True) if asked and tensor is not None]
        found = iter(torch.autograd.grad(formula(*inputs), wanted, gradient, create_graph=again))
    return tuple(next(found) if asked else None for asked in needed)
