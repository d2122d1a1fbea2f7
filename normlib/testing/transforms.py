"""Checks on a norm that torch uses as a function: with other state, and exported, it does the same as alone."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, require, require_close, same_state
from normlib.testing.subject import draw, subject


def check_functional_call(norm: str | type[Norm], **settings: Any) -> None:
    """torch.func.functional_call uses and moves the parameters and buffers it is given, not the norm's own."""
    tested = subject(norm, **settings)
    module, other = tested.standing(), tested.warmed_up(tested.standing())
    before = copy.deepcopy(module.state_dict())
    state = {name: value.detach().clone() for name, value in [*other.named_parameters(), *other.named_buffers()]}
    x = draw(tested.images, seed=5)
    got = torch.func.functional_call(module, state, (x,))
    require_close(got, other(x), ROUNDING, "functional_call with another norm's state against that norm")
    require(same_state(before, module.state_dict()), "functional_call changes the norm's own state")
    for name, value in other.state_dict().items():
        require_close(state[name], value, ROUNDING, f"{name} after functional_call")


def check_export(norm: str | type[Norm], **settings: Any) -> None:
    """torch.export takes the norm, for batches of any size, in eval mode and in training."""
    tested = subject(norm, **settings)
    for training in (False, True):
        module = tested.warmed_up(tested.standing()).train(training)
        expected = copy.deepcopy(module)
        samples = torch.export.Dim("samples", min=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported: Any = torch.export.export(module, (draw(tested.images),), dynamic_shapes=({0: samples},)).module()
        what = "training" if training else "eval mode"
        for size in (6, 5):
            x = draw((size, *tested.images[1:]), seed=size)
            require_close(exported(x), expected(x), ROUNDING, f"exported in {what}, a batch of {size}")
