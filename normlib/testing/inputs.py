"""Checks on inputs that no norm can take: each is refused with an error that says what came, before any state changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.base import Norm
from normlib.testing.requirements import ContractError, require, same_state, state_of
from normlib.testing.subject import draw, subject

NOT_REAL_FLOATING = (torch.int64, torch.int32, torch.uint8, torch.bool, torch.complex64)


def check_input_types(norm: str | type[Norm], **settings: Any) -> None:
    """Integers, bools and complex numbers are refused with a TypeError naming the type, also with a mask; no state moves."""
    tested = subject(norm, **settings)
    mask = torch.ones((tested.images[0], *tested.images[2:]), dtype=torch.bool)
    for training in (True, False):
        module = tested.warmed_up().train(training)
        before = state_of(module)
        for dtype in NOT_REAL_FLOATING:
            x = (3 * draw(tested.images)).abs().to(dtype)
            for masks in ((), (mask,)) if tested.cls.takes_mask else ((),):
                what = f"{dtype} {'with a mask ' if masks else ''}in {'training' if training else 'eval mode'}"
                message = _refusal(module, x, *masks, error=TypeError, what=what)
                require(str(dtype) in message, f"{what} is refused, but the message does not name {dtype}: {message}")
                require(same_state(before, state_of(module)), f"{what} is refused, but changes the state")


def check_unbatched(norm: str | type[Norm], **settings: Any) -> None:
    """An input without batch dimension, (C, H, W), is refused with a ValueError naming its shape and a fix: unsqueeze(0)."""
    tested = subject(norm, **settings)
    for training in (True, False):
        x = draw(tested.images[1:])
        what = f"an input of shape {tuple(x.shape)}, which has no batch dimension,"
        message = _refusal(tested.build().train(training), x, error=ValueError, what=what)
        require(
            str(tuple(x.shape)) in message, f"{what} is refused, but the message does not name its shape: {message}"
        )
        require(
            "unsqueeze(0)" in message,
            f"{what} is refused, but the message does not name the fix, x.unsqueeze(0): {message}",
        )


def _refusal(module: Any, *inputs: Tensor, error: type[Exception], what: str) -> str:
    """The module's message when it refuses these inputs."""
    try:
        y = module(*inputs)
    except error as refused:
        return str(refused)
    except Exception as other:  # an error from a kernel deep inside
        raise ContractError(
            f"{what} is refused with {type(other).__name__} instead of {error.__name__}: {other}"
        ) from other
    raise ContractError(f"{what} is not refused, but comes out as {y.dtype} of shape {tuple(y.shape)}")
