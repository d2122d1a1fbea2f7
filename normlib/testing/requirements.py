"""What a check requires: conditions in, a ContractError out where one does not hold. Runs no norm by itself but to see whether it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# Float32 holds a value to 6e-8 of its size; a few dozen operations on values of order one stay below 1e-5.
ROUNDING = 1e-5


class ContractError(AssertionError):
    """A norm breaks its contract; the message states the rule and what came."""


def require(condition: bool, message: str) -> None:
    """Raise ContractError with the message unless the condition holds."""
    if not condition:
        raise ContractError(message)


def require_close(got: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Largest difference at most `tolerance`, relative where values exceed one."""
    require(got.shape == expected.shape, f"{what}: shape {tuple(got.shape)} against {tuple(expected.shape)}")
    expected = expected.detach().double()
    error = ((got.detach().double() - expected) / expected.abs().clamp(min=1)).abs()
    require(bool(got.isfinite().all()), f"{what}: the output is not finite")
    largest = float(error.max()) if error.numel() else 0.0
    require(largest <= tolerance, f"{what}: off by {largest:.3g}, allowed are {tolerance:g}")


def same_state(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two state_dicts hold the same bits under the same names."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def accepted(module: Any, *inputs: Any) -> Any:
    """What the call returns, or None where it refuses its input with a ValueError."""
    try:
        return module(*inputs)
    except ValueError:
        return None
