"""Checks on the switches: how training, eval mode, freezing and a non-finite batch affect a norm's state."""

from __future__ import annotations

import copy
from typing import Any

import torch

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, require, require_close, same_state, state_of
from normlib.testing.subject import draw, norms_in, subject


def check_modes(norm: str | type[Norm], **settings: Any) -> None:
    """Running statistics and counters for reports move only in training, and eval mode treats every sample alone."""
    tested = subject(norm, **settings)
    module = tested.warmed_up(tested.standing()).eval()
    before = state_of(module)
    x = draw(tested.images, seed=5)
    y = module(x)
    require(same_state(before, state_of(module)), "the state changes in eval mode")
    require_close(
        torch.cat([module(sample[None]) for sample in x]), y, ROUNDING, "samples alone against together in eval mode"
    )
    module.train()
    for each in norms_in(module):
        each.update_running = False
    module(x)
    require(same_state(before, state_of(module)), "the state changes although update_running is False")
    for each in norms_in(module):
        each.update_running = True
    module(x)
    has_state = before.keys() != dict(module.named_parameters()).keys()
    require(has_state != same_state(before, state_of(module)), "the running statistics do not move in training")


def check_frozen(norm: str | type[Norm], **settings: Any) -> None:
    """A frozen norm changes no state, trains nothing and acts as in eval mode, even after train(); unfreeze() undoes it."""
    tested = subject(norm, **settings)
    module = tested.warmed_up(tested.standing()).eval()
    before = state_of(module)
    x = draw(tested.images, seed=5)
    y = module(x)
    for each in norms_in(module):
        each.freeze()
    module.train()
    z = module(x)
    require(same_state(before, state_of(module)), "a frozen norm changes its state after train()")
    own = [parameter for each in norms_in(module) for parameter in each.parameters()]
    require(not any(parameter.requires_grad for parameter in own), "a frozen norm's parameters are still trained")
    require_close(z, y, ROUNDING, "a frozen norm in training mode against eval mode")
    for each in norms_in(module):
        each.unfreeze()
    require(all(parameter.requires_grad for parameter in own), "unfreeze() leaves parameters untrained")


def check_non_finite(norm: str | type[Norm], **settings: Any) -> None:
    """A non-finite batch leaves no trace in the state under float16 or autocast, where a loss scaler skips its step."""
    tested = subject(norm, **settings)
    for dtype, autocast in ((torch.float16, False), (torch.float32, True)):
        for poison in (float("inf"), float("nan")):
            module = tested.warmed_up()
            before = copy.deepcopy(module.state_dict())
            x = draw(tested.images).to(dtype)
            x[0, 0] = poison
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                module(x)
            require(
                same_state(before, module.state_dict()),
                f"a batch with {poison} changes the state ({'autocast' if autocast else 'float16'})",
            )
