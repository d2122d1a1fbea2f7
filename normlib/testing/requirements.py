"""What checks require: they pass conditions, and ContractError is raised if one does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from normlib.errors import NormlibError

# Float32 rounds by up to 6e-8 of a value. A few dozen operations on values of order one stay below 1e-5.
ROUNDING = 1e-5


class ContractError(NormlibError, AssertionError):
    """A norm breaks its contract. The message states the rule and what came."""

    exit_code = 1


class NotRunError(NormlibError, RuntimeError):
    """A check cannot be run on this machine. The message says why."""


def require(condition: bool, message: str) -> None:
    """Raise ContractError with the message unless the condition holds."""
    if not condition:
        raise ContractError(message)


def require_close(got: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """The largest difference is at most `tolerance`, and relative for values above one."""
    require(got.shape == expected.shape, f"{what}: shape {tuple(got.shape)} against {tuple(expected.shape)}")
    expected = expected.detach().double()
    error = ((got.detach().double() - expected) / expected.abs().clamp(min=1)).abs()
    require(bool(got.isfinite().all()), f"{what}: the output is not finite")
    largest = float(error.max()) if error.numel() else 0.0
    require(largest <= tolerance, f"{what}: off by {largest:.3g}, allowed is {tolerance:g}")


def same_state(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two state_dicts hold the same bits under the same names."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers, including those outside the state_dict."""
    return {name: value.detach().clone() for name, value in [*module.named_parameters(), *module.named_buffers()]}


def require_same_values(got: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float, what: str) -> None:
    """The same names with the same values (gradients, parameters, buffers), relative to the largest if it is above one."""
    require(got.keys() == expected.keys(), f"{what}: got {sorted(got)}, expected {sorted(expected)}")
    for name, value in expected.items():
        scale = value.detach().abs().max().clamp(min=1) if value.numel() and value.is_floating_point() else 1
        require_close(got[name] / scale, value / scale, tolerance, f"{what}: {name}")


def accepted(module: Any, *inputs: Any) -> Any:
    """The result of the call, or None if it refuses its input with a ValueError."""
    try:
        return module(*inputs)
    except ValueError:
        return None
